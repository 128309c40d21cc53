"""What an edit changes: whatever it is, tokens that could not be had any more are told from those that could."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.attestation.model import Proved
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.delegations.term_changes import TermChange, changes, narrows
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.decision import Facts, Granted, GrantedAuthority, LifetimeLimits, decide
from authsec_server.tokens.refusal import Denied
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DEFAULT = "authsec-api"
ACTIONS = ("customers:delete", "customers:read", "orders:read")
DELEGATION = Delegation(
    id="d1",
    role_id="r1",
    client_id="c1",
    target_type=TargetType.AUTOGEN,
    actions=("customers:delete", "customers:read"),
    max_duration=3600,
    owner="Team",
    description="",
    created_at=NOW,
)
ROLE = RoleDefinition(id="r1", slug="role", name="Role", description="", actions=ACTIONS, created_at=NOW)
CLIENT = Client(
    id="c1",
    slug="agent",
    name="Agent",
    kind=ClientKind.AI_AGENT,
    platform=Platform.KEY,
    owner="",
    description="",
    labels={},
    enabled=True,
    created_at=NOW,
    proofs=tuple(Proof(id=kind, client_id="c1", kind=kind, created_at=NOW) for kind in ProofKind),
)

some_delegation = st.builds(
    lambda **values: replace(DELEGATION, **values),
    target_type=st.sampled_from(TargetType),
    actions=st.sets(st.sampled_from(ACTIONS), min_size=1).map(sorted).map(tuple),
    max_duration=st.sampled_from([60, 600, 3600]),
    audiences=st.sets(st.sampled_from(["a-api", "b-api", DEFAULT])).map(sorted).map(tuple),
    excluded_proofs=st.sets(st.sampled_from(ProofKind), max_size=3).map(sorted).map(tuple),
    require_dpop=st.booleans(),
    ends_at=st.none() | st.sampled_from([90, 7200]).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    owner=st.sampled_from(["Team", "Others"]),
    description=st.sampled_from(["", "For the pilot"]),
)


def outcome(
    delegation: Delegation, kind: ProofKind, actions: tuple[str, ...], audience: str, thumbprint: str
) -> Granted | Denied:
    facts = Facts(
        version=1, client=CLIENT, authorities=(GrantedAuthority(delegation=delegation, role=ROLE),), audiences={}
    )
    limits = LifetimeLimits(default_audience=DEFAULT, max_token_lifetime=86_400)
    proved = Proved(proof_id=kind, kind=kind)
    return decide(facts, proved, actions, (audience,), limits, NOW, thumbprint=thumbprint)


def requests(delegation: Delegation) -> list[tuple[ProofKind, tuple[str, ...], str, str]]:
    """All that one may ask for, one action and one audience at a time, with and without a DPoP proof."""
    audiences = delegation.audiences or (DEFAULT,)
    asked = [(kind, (action,), each) for kind in ProofKind for action in delegation.actions for each in audiences]
    return [(*each, thumbprint) for each in asked for thumbprint in ("", "thumbprint")]


@settings(max_examples=examples(600))
@given(some_delegation, some_delegation)
def test_what_does_not_narrow_takes_nothing_from_anybody(before: Delegation, after: Delegation) -> None:
    """The other way round: whenever a token could have been had, or for longer, than it can now, the edit narrows."""
    if narrows(before, after, default_audience=DEFAULT):
        return
    for request in requests(before):
        had, has = outcome(before, *request), outcome(after, *request)
        if isinstance(had, Granted):
            assert isinstance(has, Granted), request
            assert has.lifetime >= had.lifetime, request


@settings(max_examples=examples(600))
@given(some_delegation, some_delegation)
def test_what_does_not_widen_gives_nothing_to_anybody(before: Delegation, after: Delegation) -> None:
    """An edit never widens without a row that says so."""
    if any(row.widens for row in changes(before, after, default_audience=DEFAULT)):
        return
    for request in requests(after):
        had, has = outcome(before, *request), outcome(after, *request)
        if isinstance(has, Granted):
            assert isinstance(had, Granted), request
            assert had.lifetime >= has.lifetime, request


@given(some_delegation, some_delegation)
def test_there_and_back_is_the_same_the_other_way_round(before: Delegation, after: Delegation) -> None:
    there = changes(before, after, default_audience=DEFAULT)
    back = changes(after, before, default_audience=DEFAULT)
    assert back == tuple(
        replace(row, before=row.after, after=row.before, narrows=row.widens, widens=row.narrows) for row in there
    )
    assert changes(before, before, default_audience=DEFAULT) == ()


ROWS: list[tuple[dict[str, Any], TermChange]] = [
    (
        {"actions": ("customers:read", "orders:read")},
        TermChange(
            field="actions",
            label="Allowed Actions",
            before="customers:delete, customers:read",
            after="customers:read, orders:read",
            narrows=True,
            widens=True,
        ),
    ),
    (
        {"max_duration": 900},
        TermChange(field="max_duration", label="Maximum Duration", before="1 hour", after="15 minutes", narrows=True),
    ),
    (
        {"audiences": (DEFAULT, "payments")},
        TermChange(
            field="audiences",
            label="APIs",
            before="authsec-api (the default)",
            after="authsec-api, payments",
            widens=True,
        ),
    ),
    (
        {"audiences": (DEFAULT,)},
        TermChange(field="audiences", label="APIs", before="authsec-api (the default)", after="authsec-api"),
    ),
    (
        {"excluded_proofs": (ProofKind.UNATTESTED,)},
        TermChange(
            field="excluded_proofs", label="Proofs not accepted", before="none", after="unattested", narrows=True
        ),
    ),
    (
        {"require_dpop": True},
        TermChange(field="require_dpop", label="Requires DPoP", before="no", after="yes", narrows=True),
    ),
    (
        {"ends_at": datetime(2026, 12, 1, 9, 30, tzinfo=UTC)},
        TermChange(field="ends_at", label="Ends", before="no end date", after="2026-12-01 09:30:00 UTC", narrows=True),
    ),
    (
        {"target_type": TargetType.CREWAI},
        TermChange(field="target_type", label="Target Type", before="AutoGen AI agent", after="CrewAI AI agent"),
    ),
    ({"owner": "Others"}, TermChange(field="owner", label="Owner", before="Team", after="Others")),
]


@pytest.mark.parametrize(("values", "row"), ROWS, ids=[row.field for _, row in ROWS])
def test_each_change_in_plain_words(values: dict[str, Any], row: TermChange) -> None:
    assert changes(DELEGATION, replace(DELEGATION, **values), default_audience=DEFAULT) == (row,)


def test_an_end_that_is_earlier_by_less_than_a_second_narrows_all_the_same() -> None:
    before = replace(DELEGATION, ends_at=NOW + timedelta(hours=1, seconds=0.9))
    after = replace(DELEGATION, ends_at=NOW + timedelta(hours=1, seconds=0.1))
    assert narrows(before, after, default_audience=DEFAULT)
