"""Previews: what they show is what a token carries, and looking leaves no trace."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.model import NewProof, Onboarding, ProofKind
from authsec_server.db import Tx
from authsec_server.delegations import editing, service
from authsec_server.delegations.model import Proposal, ResolvedDelegation, Terms
from authsec_server.failures import NotFound, NotPermitted
from authsec_server.principal import LOCAL_OPERATOR, Act, Role
from authsec_server.roles import service as roles
from authsec_server.tokens.decision import Issuance, LifetimeLimits
from authsec_server.tokens.issue import Issued
from authsec_server.tokens.preview import JTI, Preview, preview, preview_delegation
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples

pytestmark = pytest.mark.sqlite_suffices

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
NEVER_REACHED = {"address_limit": 10**6, "unproved_limit": 10**6, "client_limit": 10**6}
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
ISSUANCE = Issuance(
    issuer="https://issuer",
    trust_domain="example.org",
    limits=LifetimeLimits(default_audience="authsec-api", max_token_lifetime=86_400),
)
ACTIONS = ["customers:delete", "customers:read", "orders:read"]


def operator(now: datetime) -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=now,
        request_id="req_00000000000000000000test",
        address="",
        token_bytes=secrets.token_bytes,
    )


def preview_of(its: Any, client_id: str, **asked: Any) -> Preview | Denied:
    act, tokens = operator(its.clock.now()), its.authority.tokens
    found: Preview | Denied = its.authority.database.read(
        lambda tx: preview(tx, act, tokens.issuance, client_id, **asked)
    )
    return found


some_actions = st.sets(st.sampled_from(ACTIONS), min_size=1).map(sorted).map(tuple)
some_delegations = st.lists(
    st.fixed_dictionaries(
        {
            "actions": some_actions,
            "max_duration": st.sampled_from([60, 3600, 86_400]),
            "audiences": st.sampled_from([(), (), ("a-api",), ("a-api", "b-api")]),
            "excluded_proofs": st.sampled_from([(), (), (), ("unattested",)]),
            "ends": st.none() | st.sampled_from([30, 5000]),
            "off": st.sampled_from([False, False, False, True]),
        }
    ),
    max_size=3,
    unique_by=lambda what: str(sorted((name, value) for name, value in what.items() if name != "off")),
)
asked_scope = st.just(()) | some_actions
asked_resources = st.sampled_from([(), (), ("a-api",), ("b-api",), ("unknown",)])


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_delegations, asked_scope, asked_resources, some_actions)
def test_a_preview_is_the_token_that_is_given_then(
    preview_house: Any,
    delegated: list[dict[str, Any]],
    scope: tuple[str, ...],
    resources: tuple[str, ...],
    role_has: tuple[str, ...],
) -> None:
    """Whatever is delegated and asked for: the same claims but for `jti`, or the same refusal to the letter."""
    its = preview_house
    client_id = its.authority.database.change(lambda tx: set_up(tx, operator(its.clock.now()), delegated, role_has))
    query = [("client_id", client_id), ("scope", " ".join(scope)), *(("resource", each) for each in resources)]
    request = parse(query, [], [], address="192.0.2.1", request_id="req_00000000000000000000real")
    assert not isinstance(request, Denied)
    seen = preview_of(its, client_id, scope=" ".join(scope), resources=resources)
    real = its.authority.tokens.issue(request)
    if isinstance(real, Issued):
        assert isinstance(seen, Preview)
        claims = parse_compact(real.token).claims
        assert seen.claims | {"jti": claims["jti"]} == claims
        assert seen.claims["jti"] == JTI
    else:
        assert seen == real


def set_up(tx: Tx, act: Act, delegated: list[dict[str, Any]], role_has: tuple[str, ...]) -> str:
    """A client of its own with these delegations, under a role that by then has lost some actions."""
    name = f"Agent {secrets.token_hex(8)}"
    client = clients.create(tx, act, Onboarding(name=name, platform="unattested"))
    role = roles.create(tx, act, name=name, actions=ACTIONS)
    for given_ in delegated:
        what = dict(given_)
        ends, off = what.pop("ends"), what.pop("off")
        proposal = Proposal(
            role=role.id,
            client=client.id,
            target_type="AutoGen AI agent",
            ends_at=None if ends is None else act.now + timedelta(seconds=ends),
            **what,
        )
        resolved = service.create(tx, act, proposal, TERMS)
        if off:
            service.disable(tx, act, resolved.delegation.id, TERMS)
    roles.edit(tx, act, role.id, revision=1, changes={"name": name, "description": "", "actions": role_has})
    return client.id


@pytest.fixture
def preview_house(house: Callable[..., Any]) -> Any:
    """An authority whose limits nobody reaches."""
    return house(**NEVER_REACHED)


def test_looking_leaves_no_trace_and_costs_nothing(house: Callable[..., Any]) -> None:
    its = house(address_limit=2, unproved_limit=2, client_limit=2)
    client_id = its.delegated_name()
    before = its.events()
    for _ in range(10):
        assert isinstance(preview_of(its, client_id), Preview)
        assert isinstance(preview_of(its, client_id, scope="customers:delete"), Denied)
    assert its.events() == before
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).status_code == 200


def test_an_attested_agents_preview_is_its_token(house: Callable[..., Any]) -> None:
    its = house()
    agent = its.delegated_agent()
    seen = preview_of(its, agent.client_id)
    door = its.door(authorization=f"Bearer {agent.assertion(its.clock.now())}")
    body = door.get(ENDPOINT, params={"client_id": agent.client_id}).json()
    assert isinstance(seen, Preview)
    assert seen.provable
    token = parse_compact(body["token"]).claims
    assert (
        seen.claims["attestation"]
        == token["attestation"]
        == {
            "method": "key_pair",
            "selectors": [],
            "proof": seen.proof.id,
        }
    )
    assert (seen.claims["permissions"], seen.granted.lifetime) == (body["permissions"], body["expires_in"])


def look(estate: Any, client: str, **asked: Any) -> Preview | Denied:
    found: Preview | Denied = estate.see(lambda tx, act: preview(tx, act, ISSUANCE, client, **asked))
    return found


def test_asking_for_more_names_the_smaller_request(estate: Any) -> None:
    estate.role()
    estate.agent()
    estate.delegate()
    denied = look(estate, "helper", scope="customers:delete customers:read")
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.missing, denied.smaller) == (
        Reason.ACTION_NOT_ALLOWED,
        ("customers:delete",),
        ("customers:read",),
    )
    assert isinstance(look(estate, "helper", scope=" ".join(denied.smaller)), Preview)


def test_what_is_malformed_is_refused_as_by_the_endpoint(estate: Any) -> None:
    estate.agent()
    for asked, reason in [
        ({"scope": "customers"}, Reason.INVALID_SCOPE),
        ({"resources": ["#"]}, Reason.INVALID_TARGET),
    ]:
        denied = look(estate, "helper", **asked)
        assert isinstance(denied, Denied)
        assert denied.reason is reason


def test_the_proof_is_the_best_or_the_chosen_one(estate: Any) -> None:
    client = estate.agent("Cluster", "kubernetes", selectors=(("k8s:ns", "production"), ("k8s:sa", "bot")))
    estate.role()
    estate.delegate(client="cluster", excluded_proofs=("unattested",))
    seen = look(estate, "cluster", proof_id=client.proofs[0].id)
    assert isinstance(seen, Preview)
    assert seen == look(estate, "cluster")
    assert (seen.proof.kind, seen.provable) == (ProofKind.SELECTORS, False)
    assert seen.claims["attestation"] == {
        "method": "selectors",
        "selectors": ["k8s:ns", "k8s:sa"],
        "proof": client.proofs[0].id,
    }
    with pytest.raises(NotFound, match="does not have this proof"):
        look(estate, "cluster", proof_id="another")
    with pytest.raises(NotFound):
        look(estate, "nobody")


def test_a_proof_that_can_be_used_now_precedes_one_that_cannot(estate: Any) -> None:
    selectors = (("k8s:ns", "production"), ("k8s:sa", "bot"))
    client = estate.agent("Cluster", "kubernetes", selectors=selectors)
    estate.role()
    estate.delegate(client="cluster")
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, client.id, NewProof(platform="secret")))
    seen = look(estate, "cluster")
    assert isinstance(seen, Preview)
    assert (seen.proof.kind, seen.provable) == (ProofKind.SECRET, True)
    assert seen.claims["attestation"]["selectors"] == []


def test_without_any_proof_there_is_nothing_to_show(estate: Any) -> None:
    client = estate.agent()
    estate.role()
    estate.delegate()
    estate.do(lambda tx, act: held_proofs.remove_proof(tx, act, client.id, client.proofs[0].id))
    denied = look(estate, "helper")
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.ATTESTATION_REQUIRED


def proposed(estate: Any, **what: Any) -> ResolvedDelegation:
    asked = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ("customers:read",)} | what
    proposal = Proposal(role="support", client="helper", **asked)
    resolved: ResolvedDelegation = estate.see(
        lambda tx, act: service.propose(tx, act, proposal, estate.terms, delegation_id="(new)")
    )
    return resolved


def look_at(estate: Any, resolved: ResolvedDelegation) -> Preview | Denied:
    found: Preview | Denied = estate.see(lambda tx, act: preview_delegation(tx, act, ISSUANCE, resolved))
    return found


def test_a_proposal_is_previewed_as_if_it_were_stored(estate: Any) -> None:
    estate.role()
    estate.agent()
    seen = look_at(estate, proposed(estate, max_duration=900, audiences=("payments",)))
    assert isinstance(seen, Preview)
    created = estate.delegate(max_duration=900, audiences=("payments",)).delegation
    real = look(estate, "helper")
    assert isinstance(real, Preview)
    differing = {"delegation_ids": [created.id], "authority_version": real.claims["authority_version"]}
    assert seen.claims | differing == real.claims
    assert seen.claims["delegation_ids"] == ["(new)"]


def test_a_proposal_beside_others_is_asked_about_its_own_audience(estate: Any) -> None:
    estate.role()
    estate.agent()
    estate.delegate()
    seen = look_at(estate, proposed(estate, audiences=("payments",)))
    assert isinstance(seen, Preview)
    assert (seen.claims["aud"], seen.claims["delegation_ids"]) == (["payments"], ["(new)"])


def test_the_preview_of_a_delegation_is_never_that_of_another_one(estate: Any) -> None:
    """The client has another delegation for the same API, which accepts the client's proof."""
    estate.role()
    estate.agent()
    estate.delegate(audiences=("payments",))
    denied = look_at(estate, proposed(estate, audiences=("payments",), require_dpop=True))
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.PROOF_NOT_ACCEPTED
    assert denied.details == "The trust delegation requires DPoP, so it accepts no unattested client."


def test_the_preview_of_a_delegation_assumes_a_proof_that_the_delegation_accepts(estate: Any) -> None:
    estate.role()
    client = estate.agent()
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, client.id, NewProof(platform="secret")))
    seen = look_at(estate, proposed(estate, excluded_proofs=(ProofKind.SECRET,)))
    assert isinstance(seen, Preview)
    assert seen.proof.kind is ProofKind.UNATTESTED


def test_an_edit_is_previewed_in_place_of_what_is_stored(estate: Any) -> None:
    estate.role()
    estate.agent()
    delegation = estate.delegate().delegation
    wanted = {
        "target_type": "AutoGen AI agent",
        "max_duration": 60,
        "actions": ("customers:delete",),
        "owner": delegation.owner,
    }
    resolved, _ = estate.see(lambda tx, act: editing.proposed_edit(tx, act, delegation.id, wanted, estate.terms))
    seen = look_at(estate, resolved)
    assert isinstance(seen, Preview)
    assert (seen.claims["permissions"], seen.granted.lifetime) == (["customers:delete"], 60)
    assert seen.claims["delegation_ids"] == [delegation.id]
    stored = look(estate, "helper")
    assert isinstance(stored, Preview)
    assert stored.claims["permissions"] == ["customers:read"]


def test_a_proposal_for_a_disabled_client_is_refused_as_it_would_be(estate: Any) -> None:
    estate.role()
    estate.agent()
    estate.do(lambda tx, act: clients.disable(tx, act, "helper"))
    denied = look_at(estate, proposed(estate))
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.CLIENT_DISABLED


def test_a_viewer_may_look(estate: Any) -> None:
    estate.role()
    estate.agent()
    estate.delegate()
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    assert isinstance(look(estate, "helper"), Preview)
    with pytest.raises(NotPermitted):
        estate.delegate()
