"""The state of a client: the pure rule agrees with token requests, and the lists find each client in its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.attestation.model import Proved
from authsec_server.audit.model import EventKind
from authsec_server.clients import held_proofs
from authsec_server.clients import search as clients
from authsec_server.clients import service as client_service
from authsec_server.clients import store as client_store
from authsec_server.clients.model import Client, ClientKind, NewProof, Platform, Proof, ProofKind
from authsec_server.clients.search import ClientFilters
from authsec_server.delegations import search, service
from authsec_server.delegations.client_state import ClientState, client_state
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.decision import Facts, Granted, GrantedAuthority, LifetimeLimits, decide
from authsec_server.tokens.refusal import Denied, Reason
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LIMITS = LifetimeLimits(default_audience="authsec-api", max_token_lifetime=86_400)
ACTIONS = ("customers:read", "orders:read", "orders:refund")
KEY = Proof(id="p0", client_id="c1", kind=ProofKind.KEY_PAIR, created_at=NOW)


def client(*proofs: Proof, enabled: bool = True) -> Client:
    return Client(
        id="c1",
        slug="agent",
        name="Agent",
        kind=ClientKind.AI_AGENT,
        platform=Platform.KEY,
        owner="",
        description="",
        labels={},
        enabled=enabled,
        created_at=NOW,
        proofs=proofs,
    )


def delegated(number: int = 0, role: Sequence[str] = ACTIONS, **changes: Any) -> tuple[Delegation, RoleDefinition]:
    its = Delegation(
        id=f"d{number}",
        role_id=f"r{number}",
        client_id="c1",
        target_type=TargetType.AUTOGEN,
        actions=("customers:read",),
        max_duration=3600,
        owner="",
        description="",
        created_at=NOW,
    )
    held = RoleDefinition(
        id=f"r{number}", slug=f"r{number}", name="Role", description="", actions=tuple(role), created_at=NOW
    )
    return replace(its, **changes), held


@pytest.mark.parametrize(
    ("shown", "its", "held"),
    [
        ("Disabled", client(enabled=False), []),
        ("Disabled", client(KEY, enabled=False), [delegated()]),
        ("Can't authenticate", client(), [delegated()]),
        ("Can't authenticate", client(replace(KEY, expires_at=NOW)), [delegated()]),
        ("Can't authenticate", client(replace(KEY, kind=ProofKind.SELECTORS)), []),
        ("No delegation", client(KEY), []),
        ("No delegation", client(KEY), [delegated(enabled=False), delegated(1, revoked_at=NOW)]),
        ("No delegation", client(KEY), [delegated(ends_at=NOW)]),
        ("No delegation", client(KEY), [delegated(role=["orders:read"])]),
        ("No delegation", client(KEY), [delegated(excluded_proofs=(ProofKind.KEY_PAIR,))]),
        ("Ready", client(KEY), [delegated(enabled=False), delegated(1)]),
        ("Ready", client(replace(KEY, kind=ProofKind.UNATTESTED)), [delegated()]),
        ("Ready", client(replace(KEY, kind=ProofKind.SELECTORS, trusted_issuer_id="i")), [delegated()]),
    ],
)
def test_a_client_has_the_first_state_that_applies(
    shown: str, its: Client, held: list[tuple[Delegation, RoleDefinition]]
) -> None:
    assert client_state(its, held, NOW).shown == shown


some_actions = st.lists(st.sampled_from(ACTIONS), unique=True).map(lambda them: tuple(sorted(them)))
some_ends = st.none() | st.integers(-5, 5).map(lambda hours: NOW + timedelta(hours=hours))
some_proofs = st.lists(st.tuples(st.sampled_from(ProofKind), some_ends, st.booleans()), max_size=3).map(
    lambda them: [
        replace(KEY, id=f"p{number}", kind=kind, expires_at=end, trusted_issuer_enabled=enabled, trusted_issuer_id=None)
        for number, (kind, end, enabled) in enumerate(them)
    ]
)
some_delegations = st.lists(
    st.tuples(
        some_actions,
        some_actions.filter(bool),
        st.lists(st.sampled_from(ProofKind), max_size=2, unique=True).map(tuple),
        some_ends,
        st.sampled_from([True, True, False]),
        st.sampled_from([(), ("https://a.example",), ("https://b.example",)]),
        st.booleans(),
    ),
    max_size=3,
).map(
    lambda them: [
        delegated(
            number,
            role,
            actions=allowed,
            excluded_proofs=excluded,
            ends_at=end,
            enabled=enabled,
            audiences=audiences,
            require_dpop=required,
        )
        for number, (role, allowed, excluded, end, enabled, audiences, required) in enumerate(them)
    ]
)


@settings(max_examples=examples(500))
@given(some_proofs, some_delegations, st.sampled_from([True, True, False]))
def test_exactly_a_ready_client_gets_tokens(
    proofs: list[Proof], held: list[tuple[Delegation, RoleDefinition]], enabled: bool
) -> None:
    its = client(*proofs, enabled=enabled)
    authorities = tuple(GrantedAuthority(delegation=delegation, role=role) for delegation, role in held)
    facts = Facts(version=1, client=its, authorities=authorities, audiences={})
    usable = [each for each in proofs if each.checkable or each.kind is ProofKind.UNATTESTED]
    outcomes = [
        decide(facts, Proved(proof_id=each.id, kind=each.kind), None, (), LIMITS, NOW, thumbprint="of the agent")
        for each in usable
    ]
    # The client may have to name one of several APIs.
    granted = [each for each in outcomes if isinstance(each, Granted) or each.reason is Reason.INVALID_TARGET]
    assert (client_state(its, held, NOW) is ClientState.READY) is bool(granted)
    if not granted and enabled:
        authenticates = any(
            isinstance(each, Denied) and each.reason is not Reason.ATTESTATION_INVALID for each in outcomes
        )
        wanted = ClientState.UNDELEGATED if authenticates else ClientState.UNPROVED
        assert client_state(its, held, NOW) is wanted


def _key() -> str:
    return PrivateKey.generate_ed25519().public.to_pem().decode()


def _enrol(tx: Any, act: Any, slug: str) -> None:
    """Give the client an enrolled key, as a laptop does with a code."""
    its = client_service.get(tx, act, slug)
    key = Proof(id=act.new_id(), client_id=its.id, kind=ProofKind.ENROLLED_KEY, thumbprint=slug, created_at=act.now)
    client_store.add_proof(tx.connection, key)
    enrolled = held_proofs.with_proofs(its, act, (*its.proofs, key))
    client_store.save(tx.connection, enrolled)
    held_proofs.record(tx, act, EventKind.PROOF_ADDED, client_service.named_client(enrolled), key)


def _company(estate: Any) -> None:
    """Found a company with several clients of each state."""
    estate.role("Support", "customers:delete", "customers:read")
    estate.role("Shrinking", "orders:read", "orders:refund")
    selectors = {"platform": "kubernetes", "selectors": (("k8s:ns", "production"),)}
    for name in ("open", "excluded", "excluded-in-part", "ended", "switched-off", "dormant", "revoked", "dpop-open"):
        estate.agent(name)
    for name in ("key", "key-excluded", "secret-besides", "off", "alone", "dpop-key"):
        estate.agent(name, "key", public_key=_key())
    for name in ("waits", "waits-alone", "laptop", "laptop-excluded"):
        estate.agent(name, **selectors)
    for name in ("laptop", "laptop-excluded"):
        estate.do(lambda tx, act, name=name: _enrol(tx, act, name))
    estate.agent("expired", expires_at=estate.act.now + timedelta(hours=1))
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, "secret-besides", NewProof(platform="secret")))
    for name in ("open", "key", "off", "waits", "expired", "revoked", "switched-off"):
        estate.delegate("support", name)
    estate.delegate("support", "excluded", excluded_proofs=("unattested",))
    estate.delegate("support", "excluded-in-part", excluded_proofs=("key_pair", "secret"))
    estate.delegate("support", "laptop", excluded_proofs=("unattested",))
    estate.delegate("support", "laptop-excluded", excluded_proofs=("key_pair",))
    estate.delegate("support", "key-excluded", excluded_proofs=("key_pair",))
    estate.delegate("support", "secret-besides", excluded_proofs=("key_pair",))
    estate.delegate("support", "dpop-open", require_dpop=True)
    estate.delegate("support", "dpop-key", require_dpop=True)
    estate.delegate("support", "ended", ends_at=estate.act.now + timedelta(hours=1))
    estate.delegate("shrinking", "dormant", actions=("orders:refund",))
    estate.do(lambda tx, act: roles.edit(tx, act, "shrinking", revision=1, changes={"actions": ["orders:read"]}))
    for slug, end in (("revoked-support", service.revoke), ("switched-off-support", service.disable)):
        estate.do(lambda tx, act, slug=slug, end=end: end(tx, act, slug, estate.terms))
    estate.do(lambda tx, act: client_service.disable(tx, act, "off"))
    estate.act = replace(estate.act, now=estate.act.now + timedelta(hours=2))


STATES = {
    ClientState.DISABLED: {"off"},
    ClientState.UNPROVED: {"waits", "waits-alone", "expired"},
    ClientState.UNDELEGATED: {
        *("excluded", "ended", "switched-off", "dormant", "revoked"),
        *("key-excluded", "laptop-excluded", "alone", "dpop-open"),
    },
    ClientState.READY: {"open", "excluded-in-part", "key", "laptop", "secret-besides", "dpop-key"},
}


@pytest.mark.sqlite_suffices  # test_clients_lists.py filters on PostgreSQL
def test_each_list_has_the_clients_of_its_state_and_no_others(estate: Any) -> None:
    _company(estate)
    everybody, _ = estate.see(lambda tx, act: clients.page_of(tx, act, limit=100))
    states = estate.see(lambda tx, act: search.states_of(tx, everybody, act.now))
    found: dict[ClientState, set[str]] = {}
    counted: dict[ClientState, int] = {}
    for state in ClientState:

        def look(tx: Any, act: Any, state: ClientState = state) -> tuple[set[str], int]:
            filters, also = search.in_state(tx, state, ClientFilters(), act.now)
            listed, _ = clients.page_of(tx, act, filters, also=also, limit=100)
            return {each.slug for each in listed}, clients.count(tx, act, filters, also=also).number

        found[state], counted[state] = estate.see(look)
    assert found == STATES
    assert counted == {state: len(slugs) for state, slugs in STATES.items()}
    assert {each.slug: states[each.id] for each in everybody} == {
        slug: state for state, slugs in STATES.items() for slug in slugs
    }
