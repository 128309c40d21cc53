"""Slugs of trust delegations: chosen or made, never two at once, given up by what is over to what comes after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.delegations import editing, impact, search, service
from authsec_server.delegations.model import Delegation, DelegationFilters, ResolvedDelegation
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from examples import examples

SLUGS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).filter(naming.is_slug)


@pytest.fixture
def parties(estate: Any) -> None:
    """Whom there is something to be delegated to."""
    estate.role("Support", "customers:delete", "customers:read", "orders:read")
    estate.agent()


def get(estate: Any, reference: str) -> Delegation:
    resolved: ResolvedDelegation = estate.see(lambda tx, act: service.get(tx, act, reference, estate.terms))
    return resolved.delegation


def revoke(estate: Any, reference: str) -> None:
    estate.do(lambda tx, act: service.revoke(tx, act, reference, estate.terms))


def offered(estate: Any) -> tuple[str, int]:
    """What the next one would be called, and how many statements that takes."""
    said: list[str] = []

    def look(tx: Tx, act: Act) -> str:
        event.listen(tx.connection, "before_cursor_execute", lambda _, __, statement, *___: said.append(statement))
        return service.offered_slug(tx, act, client="helper", role="support")

    slug: str = estate.see(look)
    return slug, len(said)


def renamed(estate: Any, its: Delegation, slug: str) -> Delegation:
    wanted = {"slug": slug}
    resolved: ResolvedDelegation = estate.do(
        lambda tx, act: editing.edit(tx, act, its.slug, wanted, estate.terms, revision=its.revision)
    )
    return resolved.delegation


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@pytest.mark.usefixtures("parties")
def test_the_next_of_many_is_not_looked_for_one_by_one(estate: Any) -> None:
    """Under the lock, while nobody gets a token."""
    for minutes in range(1, 46):
        estate.delegate(max_duration=60 * minutes)
    assert offered(estate) == ("helper-support-46", 3)
    revoke(estate, "helper-support-7")
    assert offered(estate) == ("helper-support-7", 1), "it is given up"


@pytest.mark.usefixtures("parties")
def test_a_slug_is_made_of_client_and_role_or_chosen(estate: Any) -> None:
    made = [estate.delegate(max_duration=60 * minutes).delegation.slug for minutes in (1, 2, 3)]
    assert made == ["helper-support", "helper-support-2", "helper-support-3"]
    chosen = estate.delegate(max_duration=900, slug="nightly-export").delegation
    assert get(estate, "nightly-export") == get(estate, chosen.id) == chosen
    found, _ = estate.see(lambda tx, act: search.page(tx, act, estate.terms, DelegationFilters(text="LY-EXP")))
    assert [each.delegation for each in found] == [chosen]
    for slug in ("Nightly", "", chosen.id, "\0"):
        with pytest.raises(Invalid, match="slug"):
            estate.delegate(max_duration=1200, slug=slug)
        with pytest.raises(NotFound):
            get(estate, slug.removeprefix(chosen.id) or "nothing")


@pytest.mark.usefixtures("parties")
def test_what_is_not_over_keeps_its_slug_and_the_conflict_names_it(estate: Any) -> None:
    holder = estate.delegate(slug="nightly").delegation
    estate.do(lambda tx, act: service.disable(tx, act, "nightly", estate.terms))
    with pytest.raises(Conflict, match=holder.id) as refused:
        estate.delegate(max_duration=60, slug="nightly")
    assert refused.value.field == "slug"
    other = estate.delegate(max_duration=60).delegation
    with pytest.raises(Conflict, match=holder.id):
        renamed(estate, other, "nightly")
    assert get(estate, "nightly").id == holder.id


@pytest.mark.usefixtures("parties")
def test_what_is_over_is_found_by_its_slug_until_a_later_one_takes_it(estate: Any) -> None:
    first = estate.delegate(slug="nightly").delegation
    revoke(estate, "nightly")
    assert get(estate, "nightly").id == first.id
    second = estate.delegate(slug="nightly", ends_at=estate.act.now + timedelta(days=1)).delegation
    assert get(estate, "nightly").id == second.id
    past = get(estate, first.id)
    assert (past.slug, past.revision) == ("", 3)
    given_up = estate.events("delegation.edited")[-1]
    assert given_up.detail == {
        "revision": 3,
        "before": {"slug": "nightly"},
        "after": {"slug": None},
        "ended": [],
        "because": f"gave up its slug to {second.id}",
    }
    estate.act = Act(
        principal=estate.act.principal,
        now=estate.act.now + timedelta(days=2),
        request_id="req_0000000000000000000later",
        address="",
        token_bytes=estate.act.token_bytes,
    )
    third = estate.delegate().delegation
    assert get(estate, renamed(estate, third, "nightly").slug).id == third.id
    assert (get(estate, second.id).slug, get(estate, second.id).revoked_at) == ("", None)


@pytest.mark.sqlite_suffices
@pytest.mark.usefixtures("parties")
def test_every_verb_takes_the_slug_and_ends_what_it_names(estate: Any) -> None:
    its = estate.delegate().delegation
    for verb in (service.disable, service.enable, service.revoke):
        resolved = estate.do(lambda tx, act, verb=verb: verb(tx, act, "helper-support", estate.terms))
        assert resolved.delegation.id == its.id
    assert {subject for _, subject, _ in estate.endings()} == {its.id}
    what = estate.see(lambda tx, act: impact.of_delegation(tx, act, "helper-support", estate.terms))
    assert what == estate.see(lambda tx, act: impact.of_delegation(tx, act, its.id, estate.terms))


@pytest.mark.sqlite_suffices
@pytest.mark.usefixtures("parties")
def test_narrowing_by_slug_ends_the_tokens_and_a_new_slug_ends_none(estate: Any) -> None:
    its = estate.delegate(actions=("customers:delete", "customers:read")).delegation
    its = renamed(estate, its, "other")
    assert estate.endings() == []
    assert renamed(estate, its, "other") == its, "it keeps its slug"
    narrower = {"actions": ("customers:read",)}
    estate.do(lambda tx, act: editing.edit(tx, act, "other", narrower, estate.terms, revision=its.revision))
    assert [subject for _, subject, _ in estate.endings()] == [its.id]


@given(client=SLUGS, role=SLUGS, others=st.integers(0, 120))
def test_what_is_made_is_always_a_slug_and_never_taken(client: str, role: str, others: int) -> None:
    taken: set[str] = set()
    for _ in range(others):
        made = service.made_slug(client, role, lambda some: [each for each in some if each not in taken])
        assert naming.is_slug(made)
        assert made not in taken
        taken.add(made)


def test_two_slugs_that_read_as_an_id_together_get_a_number() -> None:
    assert service.made_slug("12345678-1234-1234-1234", "123456789012", lambda some: some).endswith("-2")


@pytest.mark.sqlite_suffices
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["make", "choose", "revoke", "rename"]), st.integers(0, 3)), max_size=10)
)
def test_never_do_two_have_a_slug_and_it_always_means_what_lives(estate: Any, steps: list[tuple[str, int]]) -> None:
    """Whatever is delegated, renamed and revoked in whichever order."""
    client = estate.agent("Helper", slug=f"c{len(estate.events())}")
    role = estate.role(f"Role {len(estate.events())}", "customers:read", "orders:read")
    made: list[str] = []
    for duration, (step, number) in enumerate(steps):
        try:
            if step == "revoke":
                revoke(estate, f"slug-{number}")
            elif step == "rename" and made:
                renamed(estate, get(estate, made[number % len(made)]), f"slug-{number}")
            else:
                slug = {"slug": f"slug-{number}"} if step == "choose" else {}
                what = {"role": role.id, "client": client.id, "max_duration": 60 + duration} | slug
                made.append(estate.delegate(**what).delegation.id)
        except (Conflict, NotFound):
            pass  # refused: then nothing may have changed, which the next lines would see
        held = [get(estate, each) for each in made]
        living = [each for each in held if each.revoked_at is None]
        assert all(each.slug for each in living)
        for each in living:
            assert get(estate, each.slug).id == each.id
