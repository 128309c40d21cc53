"""What a change would stop, said beforehand, on both databases: and nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.apis import service as apis
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.clients import bindings, held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, NewProof
from authsec_server.db import Tx
from authsec_server.delegations import impact, live_tokens, service
from authsec_server.delegations.dry_run_impact import ImpactProvider
from authsec_server.delegations.impact import Impact
from authsec_server.delegations.model import Delegation
from authsec_server.failures import NotFound
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from authsec_server.principal import Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.model import SubjectKind
from authsec_server.revocations.subscribers import Following
from authsec_server.roles import service as roles
from authsec_server.web.dry_run import Foreseen

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def helper(estate: Any) -> Client:
    """Whose authority is at stake."""
    estate.role()
    client: Client = estate.agent()
    return client


def mint(
    estate: Any, *under: Delegation, lifetime: timedelta = timedelta(hours=1), actions: Sequence[str] = ()
) -> datetime:
    """The audit log's entry of a token under these delegations; when the token expires."""
    now: datetime = estate.act.now

    def record(tx: Any) -> None:
        audit.record(
            tx,
            Event(
                at=now,
                kind=EventKind.TOKEN_ISSUED,
                request_id="req_0000000000000000000token",
                client=Named(id=under[0].client_id, name="Helper"),
                delegations=tuple(Named(id=each.id, name="Support → Helper") for each in under),
                roles=(Named(id=under[0].role_id, name="Support"),),
                decision=Decision.GRANTED,
                authority_version=tx.version,
                jti="1" * 32,
                expires_at=now + lifetime,
                detail={"actions": [*actions]} if actions else {},
            ),
        )

    estate.database.record(record)
    return now + lifetime


def asked(estate: Any, question: Callable[..., Impact], *what: Any, **more: Any) -> Impact:
    before = (estate.events(), estate.endings())
    answer: Impact = estate.see(lambda tx, act: question(tx, act, *what, estate.terms, **more))
    assert (estate.events(), estate.endings()) == before
    return answer


def test_of_a_client_all_its_live_delegations_stop(estate: Any, helper: Client) -> None:
    one = estate.delegate(audiences=("payments",)).delegation
    two = estate.delegate().delegation
    off = estate.delegate(max_duration=60).delegation
    estate.do(lambda tx, act: service.disable(tx, act, off.id, estate.terms))
    mint(estate, one)
    last = mint(estate, two, lifetime=timedelta(hours=5))
    found = asked(estate, impact.of_client, helper.slug)
    assert found.agents == (Named(id=helper.id, name="Helper"),)
    assert {each.id for each in found.delegations} == {one.id, two.id}
    assert set(found.delegations) == set(found.loses)
    assert (found.live_tokens, found.last_expiry) == (2, last)
    assert found.audiences == ("authsec-api", "payments")
    assert (found.gains, found.more) == ((), False)


def test_of_a_delegation_its_own_tokens_only(estate: Any, helper: Client) -> None:
    one, two = estate.delegate().delegation, estate.delegate(max_duration=60).delegation
    until = mint(estate, one)
    mint(estate, two, lifetime=timedelta(hours=9))
    found = asked(estate, impact.of_delegation, one.id)
    assert found.delegations == (Named(id=one.id, name="Support → Helper"),)
    assert (found.live_tokens, found.last_expiry) == (1, until)
    assert found.go_on == {helper.id}, "by the other one"
    assert asked(estate, impact.of_client, helper.id).go_on == set()
    estate.do(lambda tx, act: service.disable(tx, act, two.id, estate.terms))
    assert asked(estate, impact.of_delegation, one.id).go_on == set()
    with pytest.raises(NotFound):
        asked(estate, impact.of_delegation, "nobody")


@pytest.mark.parametrize("ended", ["delegation", "client", "role"])
def test_tokens_that_have_ended_already_are_not_counted(estate: Any, helper: Client, ended: str) -> None:
    delegation = estate.delegate(actions=("customers:delete", "customers:read")).delegation
    until = mint(estate, delegation)
    if ended == "delegation":
        estate.do(lambda tx, act: service.disable(tx, act, delegation.id, estate.terms))
        estate.do(lambda tx, act: service.enable(tx, act, delegation.id, estate.terms))
    elif ended == "client":
        estate.do(lambda tx, act: clients.disable(tx, act, helper.id))
        estate.do(lambda tx, act: clients.enable(tx, act, helper.id))
    else:
        values = {"name": "Support", "description": "", "actions": ["customers:read"]}
        estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=values))
    for question, what in ((impact.of_delegation, delegation.id), (impact.of_client, helper.id)):
        found = asked(estate, question, what)
        assert (found.live_tokens, found.last_expiry) == (0, until), "ended, yet out"
    mint(estate, delegation)
    assert asked(estate, impact.of_delegation, delegation.id).live_tokens == 1
    assert asked(estate, impact.of_client, helper.id).live_tokens == 1


def test_of_a_delegation_what_its_client_keeps(estate: Any, helper: Client) -> None:
    one, two, off = (estate.delegate(max_duration=60 * minutes).delegation for minutes in (1, 2, 3))
    estate.do(lambda tx, act: service.disable(tx, act, off.id, estate.terms))
    assert [each.id for each in asked(estate, impact.of_delegation, one.id).keeps] == [two.id]


def test_by_a_delegation_that_grants_nothing_no_client_goes_on(estate: Any, helper: Client) -> None:
    one = estate.delegate().delegation
    estate.delegate(max_duration=60, require_dpop=True)  # the helper is unattested
    what = asked(estate, impact.of_delegation, one.id)
    assert (what.keeps, what.go_on) == ((), frozenset())
    two = estate.delegate(max_duration=120).delegation
    what = asked(estate, impact.of_delegation, one.id)
    assert ([each.id for each in what.keeps], what.go_on) == ([two.id], {helper.id})
    estate.do(lambda tx, act: clients.disable(tx, act, helper.id))
    what = asked(estate, impact.of_delegation, one.id)
    assert (what.keeps, what.go_on) == ((), frozenset())


def test_what_is_off_for_good_still_has_tokens_out(estate: Any, helper: Client) -> None:
    delegation = estate.delegate().delegation
    until = mint(estate, delegation)
    estate.do(lambda tx, act: service.revoke(tx, act, delegation.id, estate.terms))
    for question, what in ((impact.of_delegation, delegation.id), (impact.of_client, helper.id)):
        found = asked(estate, question, what)
        assert (found.delegations, found.live_tokens, found.last_expiry) == ((), 0, until)


def an_edit(**what: Any) -> dict[str, Any]:
    same: dict[str, Any] = {
        "target_type": "AutoGen AI agent",
        "max_duration": 3600,
        "actions": ("customers:read",),
        "owner": "local operator",
    }
    return {**same, **what}


def test_of_an_edit_only_narrowing_stops_something(estate: Any, helper: Client) -> None:
    delegation = estate.delegate().delegation
    until = mint(estate, delegation)
    its = (Named(id=delegation.id, name="Support → Helper"),)
    narrower = asked(estate, impact.of_edit, delegation.id, an_edit(max_duration=60))
    assert (narrower.delegations, narrower.loses, narrower.gains) == (its, its, ())
    assert (narrower.live_tokens, narrower.last_expiry) == (1, until)
    wider = asked(estate, impact.of_edit, delegation.id, an_edit(max_duration=7200))
    assert (wider.delegations, wider.loses, wider.gains, wider.live_tokens) == ((), (), its, 0)
    assert asked(estate, impact.of_edit, delegation.id, an_edit()) == Impact()


def test_of_a_role_edit_who_loses_and_who_gains_unasked(estate: Any, helper: Client) -> None:
    whole = estate.delegate(actions=("customers:delete", "customers:read")).delegation
    part = estate.delegate().delegation
    mint(estate, whole)
    mint(estate, part)
    smaller = asked(estate, impact.of_role_edit, "support", ["customers:read"])
    assert {each.id for each in smaller.delegations} == {whole.id, part.id}, "the role's tokens end, all of them"
    assert [each.id for each in smaller.loses] == [whole.id]
    assert (smaller.live_tokens, smaller.gains) == (2, ())
    larger = asked(estate, impact.of_role_edit, "support", ["customers:delete", "customers:read", "orders:read"])
    assert larger == Impact(), "what a role gains, no delegation allows yet"

    values = {"name": "Support", "description": "", "actions": ["customers:read"]}
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=values))
    back = asked(estate, impact.of_role_edit, "support", ["customers:delete", "customers:read"])
    assert [each.id for each in back.gains] == [whole.id], "it allowed the action all the time"
    assert (back.delegations, back.live_tokens) == ((), 0)


def test_of_a_role_edit_who_gets_no_token_after_it(estate: Any, helper: Client) -> None:
    estate.delegate()
    gone = asked(estate, impact.of_role_edit, "support", ["customers:delete"])
    assert ([each.id for each in gone.agents], gone.go_on) == ([helper.id], frozenset())
    estate.delegate(actions=("customers:delete",))
    assert asked(estate, impact.of_role_edit, "support", ["customers:delete"]).go_on == {helper.id}
    estate.do(lambda tx, act: clients.disable(tx, act, helper.id))
    assert asked(estate, impact.of_role_edit, "support", ["customers:delete"]).go_on == frozenset()


def test_of_an_edit_of_a_disabled_client_nobody_goes_on(estate: Any, helper: Client) -> None:
    delegation = estate.delegate().delegation
    assert asked(estate, impact.of_edit, delegation.id, an_edit(max_duration=60)).go_on == {helper.id}
    estate.do(lambda tx, act: clients.disable(tx, act, helper.id))
    assert asked(estate, impact.of_edit, delegation.id, an_edit(max_duration=60)).go_on == frozenset()


@pytest.mark.soak
def test_of_a_role_in_use_by_many(estate: Any, helper: Client) -> None:
    made = [estate.delegate(max_duration=60 * minutes).delegation for minutes in range(1, 61)]
    for delegation in made[:3]:
        mint(estate, delegation)
    found = asked(estate, impact.of_role_edit, "support", ["customers:delete"])
    assert (len(found.delegations), len(found.agents), found.live_tokens) == (len(made), 1, 3)


def test_of_a_role_not_the_tokens_that_its_clients_have_in_another(estate: Any, helper: Client) -> None:
    estate.role("Billing")
    until = mint(estate, estate.delegate().delegation)
    mint(estate, estate.delegate("billing").delegation, lifetime=timedelta(hours=5))
    found = asked(estate, impact.of_role_edit, "support", ["customers:delete"])
    assert (found.live_tokens, found.last_expiry) == (1, until)


def test_a_token_that_rests_on_two_delegations_is_one(estate: Any, helper: Client) -> None:
    one, two = estate.delegate().delegation, estate.delegate(max_duration=60).delegation
    until = mint(estate, one, two)
    for question, what in ((impact.of_client, helper.id), (impact.of_delegation, two.id)):
        found = asked(estate, question, what)
        assert (found.live_tokens, found.last_expiry) == (1, until)


def test_two_tokens_of_one_second_with_different_actions_are_two(estate: Any, helper: Client) -> None:
    delegation = estate.delegate().delegation
    until = mint(estate, delegation, actions=("customers:read",))
    mint(estate, delegation, actions=("customers:delete",))
    for question, what in ((impact.of_client, helper.id), (impact.of_delegation, delegation.id)):
        found = asked(estate, question, what)
        assert (found.live_tokens, found.last_expiry) == (2, until)
    stopped = rehearsed(estate, lambda tx, act: service.disable(tx, act, delegation.id, estate.terms))
    assert stopped["live_tokens"] == 2


def test_of_a_deleted_api_nothing_ends_but_delegations_keep_its_audience(estate: Any, helper: Client) -> None:
    estate.do(lambda tx, act: apis.create(tx, act, name="Customers", identifier="customers-api"))
    old, _ = (estate.delegate(audiences=(each,)).delegation for each in ("customers-api", "payments"))
    mint(estate, old)
    found = asked(estate, impact.of_api, "customers")
    assert ([each.id for each in found.loses], found.gains) == ([old.id], ())
    assert (found.delegations, found.live_tokens) == ((), 0)


def minted(estate: Any, client: Client, jti: str, **what: Any) -> datetime:
    """The audit log's entry of a token that rests on these things; when it expires."""
    until: datetime = estate.act.now + what.pop("lifetime", timedelta(hours=1))
    named = Named(id=client.id, name=client.name)
    event = Event(
        at=estate.act.now,
        kind=EventKind.TOKEN_ISSUED,
        request_id="req_0000000000000000000token",
        client=named,
        decision=Decision.GRANTED,
        jti=sha256(jti.encode()).hexdigest()[:32],
        kid=what.pop("kid", "key-1"),
        expires_at=until,
        detail={"audience": ["crm"], "proof_id": "p", **what},
    )
    estate.database.record(lambda tx: audit.record(tx, replace(event, authority_version=tx.version)))
    return until


def test_of_a_proof_its_own_tokens_only(estate: Any) -> None:
    agent = estate.agent(platform="secret")
    (proof,) = agent.proofs
    until = minted(estate, agent, "one", proof_id=proof.id)
    minted(estate, agent, "two", lifetime=timedelta(hours=9))
    found = told(estate, impact.of_proof, agent.id, proof.id)
    assert (found.agents, found.live_tokens, found.last_expiry) == ((Named(id=agent.id, name="Helper"),), 1, until)
    assert found.go_on == set(), "it has no other"
    assert [(each.audience, each.until) for each in found.apis] == [("crm", until)]
    assert told(estate, impact.of_secrets, agent.id, at_once=True) == found
    assert told(estate, impact.of_secrets, agent.id, at_once=False) == Impact()
    with pytest.raises(NotFound):
        told(estate, impact.of_proof, agent.id, "nobody")
    estate.do(lambda tx, act: revocations.end(tx, SubjectKind.PROOF, proof.id, act.now))
    after = told(estate, impact.of_proof, agent.id, proof.id)
    assert (after.live_tokens, after.last_expiry) == (0, until), "they ended with it, and are out"


def test_of_a_trusted_issuer_the_tokens_by_its_word(estate: Any) -> None:
    trusted_issuer = estate.do(lambda tx, act: issuers.create(tx, act, a_trusted_issuer()))
    agent = estate.agent(platform="kubernetes", selectors=[("k8s:ns", "production"), ("k8s:sa", "helper")])
    assert agent.proofs[0].trusted_issuer_id == trusted_issuer.id
    minted(estate, agent, "one", trusted_issuer={"id": trusted_issuer.id, "name": trusted_issuer.name})
    minted(estate, agent, "two")
    found = told(estate, impact.of_trusted_issuer, trusted_issuer.slug)
    assert (found.agents, found.live_tokens) == ((Named(id=agent.id, name="Helper"),), 1)
    estate.do(lambda tx, act: bindings.disable_trusted_issuer(tx, act, trusted_issuer.id))
    assert told(estate, impact.of_trusted_issuer, trusted_issuer.slug).live_tokens == 0


def rehearsed(estate: Any, work: Callable[[Tx, Act], object]) -> Any:
    """What would stop by it: looked for after it is done, and before it is undone."""

    def foreseen(tx: Tx) -> Foreseen:
        work(tx, estate.act)
        return ImpactProvider(terms=estate.terms).foreseen(tx, estate.act)

    return estate.database.rehearse(foreseen).would_stop


def test_of_a_trusted_issuer_no_agent_goes_on_by_a_proof_that_its_delegation_refuses(estate: Any) -> None:
    trusted_issuer = estate.do(lambda tx, act: issuers.create(tx, act, a_trusted_issuer()))
    agent = estate.agent(platform="kubernetes", selectors=[("k8s:ns", "production"), ("k8s:sa", "helper")])
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, agent.id, NewProof(platform="secret")))
    estate.role()
    estate.delegate(excluded_proofs=("secret",))
    minted(estate, agent, "one", trusted_issuer={"id": trusted_issuer.id, "name": trusted_issuer.name})

    def disable(tx: Tx, act: Act) -> object:
        return bindings.disable_trusted_issuer(tx, act, trusted_issuer.id)

    assert told(estate, impact.of_trusted_issuer, trusted_issuer.slug).go_on == set()
    assert [each["goes_on"] for each in rehearsed(estate, disable)["agents"]] == [False]
    estate.delegate(max_duration=60)
    assert told(estate, impact.of_trusted_issuer, trusted_issuer.slug).go_on == {agent.id}
    assert [each["goes_on"] for each in rehearsed(estate, disable)["agents"]] == [True]


def test_a_rehearsal_finds_who_rested_on_a_trusted_issuer_even_when_it_is_removed(estate: Any) -> None:
    trusted_issuer = estate.do(lambda tx, act: issuers.create(tx, act, a_trusted_issuer()))
    selectors = [("k8s:ns", "production"), ("k8s:sa", "helper")]
    one, two = (estate.agent(name, platform="kubernetes", selectors=selectors) for name in ("One", "Two"))
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, two.id, NewProof(platform="secret")))
    estate.role()
    for agent in (one, two):
        estate.delegate(client=agent.slug)
        minted(estate, agent, agent.slug, trusted_issuer={"id": trusted_issuer.id, "name": trusted_issuer.name})
    minted(estate, two, "by another proof")
    agents = [
        {"client_id": one.id, "name": "One", "goes_on": False},
        {"client_id": two.id, "name": "Two", "goes_on": True},
    ]
    for verb in (bindings.disable_trusted_issuer, partial(bindings.remove_trusted_issuer, with_proofs=True)):
        stops = rehearsed(estate, lambda tx, act, verb=verb: verb(tx, act, trusted_issuer.id))
        assert (stops["agents"], stops["live_tokens"]) == (agents, 2), verb
    assert rehearsed(estate, lambda tx, act: bindings.enable_trusted_issuer(tx, act, trusted_issuer.id)) is None


@pytest.mark.parametrize(("most", "more"), [(1, True), (2, False)])
def test_of_more_agents_than_are_looked_at_it_is_said_that_there_are_more(
    estate: Any, monkeypatch: pytest.MonkeyPatch, most: int, more: bool
) -> None:
    monkeypatch.setattr(impact, "MOST", most)
    trusted_issuer = estate.do(lambda tx, act: issuers.create(tx, act, a_trusted_issuer()))
    role = estate.role()
    for name in ("One", "Two"):
        agent = estate.agent(name, platform="kubernetes", selectors=[("k8s:ns", "production")])
        estate.delegate(client=agent.slug)
        minted(estate, agent, agent.slug, trusted_issuer={"id": trusted_issuer.id, "name": trusted_issuer.name})
    fewer = ["customers:delete"]
    assert told(estate, impact.of_trusted_issuer, trusted_issuer.slug).more is more
    assert asked(estate, impact.of_role_edit, role.slug, fewer).more is more
    values: dict[str, Any] = {"name": role.name, "description": "", "actions": fewer}
    assert (
        rehearsed(estate, lambda tx, act: bindings.disable_trusted_issuer(tx, act, trusted_issuer.id))["more"] is more
    )
    assert rehearsed(estate, lambda tx, act: roles.edit(tx, act, role.id, revision=1, changes=values))["more"] is more


def test_tokens_that_were_taken_back_or_whose_key_was_are_not_counted(
    estate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "BATCH", 1)
    agents = [estate.agent(name) for name in ("One", "Two")]
    for number, agent in enumerate(agents):
        minted(estate, agent, f"jti-{number}", kid="key-1")
    live = estate.see(lambda tx, act: live_tokens.of_key(tx, act.now, "key-1"))
    assert ([each.name for each in live.agents], live.live) == (["One", "Two"], 2)
    estate.do(lambda tx, act: revocations.end(tx, SubjectKind.TOKEN, sha256(b"jti-0").hexdigest()[:32], act.now))
    left = estate.see(lambda tx, act: live_tokens.of_key(tx, act.now, "key-1"))
    assert ([each.name for each in left.agents], left.live) == (["Two"], 1)
    estate.do(lambda tx, act: revocations.end(tx, SubjectKind.KEY, "key-1", act.now))
    assert estate.see(lambda tx, act: live_tokens.of_key(tx, act.now, "key-1")).live == 0


def test_where_nobody_follows_is_said_first(estate: Any, helper: Client) -> None:
    estate.do(lambda tx, act: apis.create(tx, act, name="Customers", identifier="customers-api"))
    delegation = estate.delegate(audiences=("customers-api", "mail", "post")).delegation
    now = estate.act.now
    estate.database.append(lambda tx: followers.note(tx, {"customers-api": True}, now))
    estate.database.append(lambda tx: followers.note(tx, {"customers-api": False}, now))  # by another server
    estate.database.append(lambda tx: followers.note(tx, {"mail": False}, now - timedelta(seconds=119)))
    estate.database.append(lambda tx: followers.note(tx, {"post": True}, now - timedelta(seconds=121)))
    found = asked(estate, impact.of_delegation, delegation.id).apis
    assert [(each.name, each.slug, each.following) for each in found] == [
        ("post", "", Following.NO),
        ("mail", "", Following.SAID),
        ("Customers", "customers", Following.PROVED),
    ]
    assert [each.until for each in found] == [None, None, None], "no token is out"


def told(estate: Any, question: Callable[..., Impact], *what: Any, **more: Any) -> Impact:
    answer: Impact = estate.see(lambda tx, act: question(tx, act, *what, **more))
    return answer


def a_trusted_issuer() -> ProposedTrustedIssuer:
    keys = {"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "1"}]}
    return ProposedTrustedIssuer(
        name="Production", kind="kubernetes", issuer="https://cluster.example", keys_from="given", given_keys=keys
    )
