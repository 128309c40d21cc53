"""All that one administrator, or one admin key, has delegated is revoked; on either database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.delegations import editing, grants
from authsec_server.delegations import service as delegations
from authsec_server.delegations.grants import Grantor
from authsec_server.failures import NotPermitted
from authsec_server.principal import Act, Principal, PrincipalKind, Role
from authsec_server.revocations.model import SubjectKind

pytestmark = pytest.mark.sqlite_suffices

Estate = Any
House = Any
API = "/authsec/api/v1"
ADMINISTRATOR = PrincipalKind.ADMINISTRATOR
MALLORY = Principal(kind=ADMINISTRATOR, id="00000000-0000-4000-8000-00000000000a", name="Ann", role=Role.ADMIN)
NAMESAKE = replace(MALLORY, id="00000000-0000-4000-8000-00000000000b")


@pytest.fixture
def by(estate: Estate) -> Callable[..., Estate]:
    """The estate as somebody else acts in it, so many minutes after noon."""
    first = estate.act
    estate.role("Support", "customers:read", "customers:delete")
    estate.agent("Helper")
    estate.agent("Other")
    estate.agent("Third")

    def acting(who: Principal, minutes: int = 0) -> Estate:
        estate.act = replace(first, principal=who, now=first.now + timedelta(minutes=minutes))
        return estate

    return acting


def hand(who: Principal) -> Grantor:
    return Grantor(kind=who.kind, id=who.id, called="the administrator ann@example.com")


def given(estate: Estate, who: Principal) -> set[str]:
    return {each.id for each in estate.see(lambda tx, act: grants.grants_of(tx, act, hand(who))).held}


def changed_since(estate: Estate, who: Principal) -> set[str]:
    return {each.id for each in estate.see(lambda tx, act: grants.grants_of(tx, act, hand(who))).changed_since}


def edit(estate: Estate, delegation: Any, **changes: Any) -> None:
    def work(tx: Any, act: Act) -> None:
        now = delegations.get(tx, act, delegation.id, estate.terms).delegation
        editing.edit(tx, act, delegation.id, changes, estate.terms, revision=now.revision)

    estate.do(work)


def test_what_they_created_and_what_they_changed_last(by: Callable[..., Estate]) -> None:
    its = by(MALLORY)
    mine = its.delegate(client="helper").delegation
    its = by(NAMESAKE, 1)
    others, approved = its.delegate(client="other").delegation, its.delegate(client="third").delegation
    assert given(its, MALLORY) == {mine.id}, "a namesake's are somebody else's"
    its = by(MALLORY, 2)
    edit(its, others, max_duration=7200)
    edit(its, approved, max_duration=7200)
    its = by(NAMESAKE, 3)
    edit(its, approved, max_duration=3600)
    edit(its, mine, max_duration=600)
    assert given(its, MALLORY) == {mine.id, others.id}, "whoever changes it after them answers for it"
    assert changed_since(its, MALLORY) == {approved.id}, "and it is said to have been in their hands"
    assert given(its, NAMESAKE) == {others.id, approved.id, mine.id}
    assert not changed_since(its, NAMESAKE)
    its = by(MALLORY, 4)
    its.do(lambda tx, act: delegations.disable(tx, act, approved.id, its.terms))
    assert approved.id not in given(its, MALLORY), "who turns one off gives nothing"
    its.do(lambda tx, act: delegations.disable(tx, act, mine.id, its.terms))
    assert given(its, MALLORY) == {mine.id, others.id}, "what they turned off could be turned on again"
    its.do(lambda tx, act: delegations.revoke(tx, act, mine.id, its.terms))
    assert given(its, MALLORY) == {others.id}


def test_they_end_together_each_with_its_record(by: Callable[..., Estate]) -> None:
    its = by(MALLORY)
    held = {its.delegate(client=client).delegation.id for client in ("helper", "other")}
    its = by(NAMESAKE, 1)
    kept = its.delegate(client="third").delegation.id
    revoked = its.do(lambda tx, act: grants.revoke_grants_of(tx, act, hand(MALLORY), its.terms))
    assert {each.delegation.id for each in revoked} == held
    assert {(kind, id_) for kind, id_, _ in its.endings()} == {(SubjectKind.DELEGATION, id_) for id_ in held}
    assert len({version for _, _, version in its.endings()}) == 1, "in one change"
    records = its.events("delegation.revoked")
    assert {each.delegations[0].id for each in records} == held
    assert {each.detail["because"] for each in records} == {
        "all that the administrator ann@example.com delegated was revoked"
    }
    assert its.do(lambda tx, act: grants.revoke_grants_of(tx, act, hand(MALLORY), its.terms)) == []
    assert given(its, NAMESAKE) == {kept}


def test_what_was_changed_since_ends_if_that_is_meant(by: Callable[..., Estate]) -> None:
    its = by(NAMESAKE)
    widened = its.delegate(client="helper").delegation.id
    its = by(MALLORY, 1)
    edit(its, its.see(lambda tx, act: delegations.get(tx, act, widened, its.terms)).delegation, max_duration=3000)
    its = by(NAMESAKE, 2)
    edit(its, its.see(lambda tx, act: delegations.get(tx, act, widened, its.terms)).delegation, description="Ours")

    def revoke(**also: bool) -> list[str]:
        revoked = its.do(lambda tx, act: grants.revoke_grants_of(tx, act, hand(MALLORY), its.terms, **also))
        return [each.delegation.id for each in revoked]

    assert (revoke(), revoke(also_changed_since=True)) == ([], [widened])
    assert not changed_since(its, MALLORY), "nothing that is over"


def test_only_an_admin_may(by: Callable[..., Estate]) -> None:
    its = by(replace(MALLORY, role=Role.OPERATOR))
    with pytest.raises(NotPermitted):
        its.do(lambda tx, act: grants.revoke_grants_of(tx, act, hand(MALLORY), its.terms))


def test_of_an_admin_key_over_http(house: Callable[..., House]) -> None:
    at_the_machine, its = house(local_operator=True).door(), house()
    key = at_the_machine.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()
    pipeline = its.door(Authorization=f"Bearer {key['key']}")
    agent = its.delegated_agent()
    role = at_the_machine.get(f"{API}/roles").json()["items"][0]["slug"]
    asked = {"role": role, "client": agent.client_id, "target_type": "AutoGen AI agent", "max_duration": 600}
    made = pipeline.post(f"{API}/delegations", json=asked | {"actions": ["customers:delete"]}).json()

    path = f"{API}/admin-keys/{key['id']}/revoke-grants"
    assert pipeline.post(path).status_code == 403
    told = at_the_machine.post(f"{path}?dry_run=1").json()
    assert [each["id"] for each in told["would_answer"]["revoked"]] == [made["id"]]
    assert [each["id"] for each in told["would_stop"]["delegations"]] == [made["id"]]
    assert at_the_machine.get(f"{API}/delegations/{made['id']}").json()["state"] == "live"
    revoked = at_the_machine.post(path).json()["revoked"]
    assert [(each["id"], each["state"]) for each in revoked] == [(made["id"], "revoked")]
    assert its.events()[-1].event.detail["because"] == "all that the admin key Pipeline delegated was revoked"
    assert at_the_machine.post(path).json() == {"revoked": [], "changed_since": []}
    for nobody in ("admin-keys/nobody", "administrators/nobody@example.com"):
        assert at_the_machine.post(f"{API}/{nobody}/revoke-grants").status_code == 404
