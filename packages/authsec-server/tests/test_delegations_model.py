"""What may be delegated, what a delegation is at a moment, and what whoever delegates should know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind
from authsec_server.delegations import validation as rules
from authsec_server.delegations.model import (
    Delegation,
    DelegationParties,
    DelegationState,
    GrantGap,
    TargetType,
    grant_gap,
    grants_the_same,
    live_twin,
    state,
    title,
)
from authsec_server.delegations.validation import warnings
from authsec_server.failures import Invalid
from authsec_server.roles.model import RoleDefinition
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ROLE = RoleDefinition(
    id="r",
    slug="support",
    name="Support",
    description="",
    actions=("customers:delete", "customers:read", "tickets:write"),
    created_at=NOW,
)
DELEGATION = Delegation(
    id="d",
    role_id="r",
    client_id="c",
    target_type=TargetType.AUTOGEN,
    actions=("customers:read",),
    max_duration=3600,
    audiences=("customers-api",),
    owner="someone",
    description="",
    created_at=NOW,
)


def client(*kinds: ProofKind, enabled: bool = True) -> Client:
    return Client(
        id="c",
        slug="customer-support",
        name="Customer Support",
        kind=ClientKind.AI_AGENT,
        platform=Platform.KEY,
        owner="someone",
        description="",
        labels={},
        enabled=enabled,
        created_at=NOW,
        proofs=tuple(
            Proof(id=kind, client_id="c", kind=kind, created_at=NOW) for kind in kinds or (ProofKind.KEY_PAIR,)
        ),
    )


def codes(delegation: Delegation, held: Client) -> list[str]:
    found = warnings(
        delegation,
        held,
        described={"customers:read"},
        registered={"customers-api"},
        default_audience="authsec-api",
        now=NOW,
    )
    assert all(caution.message for caution in found)
    return [caution.code for caution in found]


moments = st.one_of(st.none(), st.integers(-5, 5).map(lambda hours: NOW + timedelta(hours=hours)))


@given(st.booleans(), moments, moments)
def test_only_what_is_on_not_ended_and_not_revoked_is_live(
    enabled: bool, ends_at: datetime | None, revoked_at: datetime | None
) -> None:
    found = state(replace(DELEGATION, enabled=enabled, ends_at=ends_at, revoked_at=revoked_at), NOW)
    ended = ends_at is not None and ends_at <= NOW
    assert (found is DelegationState.LIVE) == (enabled and not ended and revoked_at is None)
    assert (found is DelegationState.REVOKED) == (revoked_at is not None)
    assert (found is DelegationState.ENDED) == (ended and revoked_at is None)


def test_a_delegation_ends_at_its_end_not_after() -> None:
    ending = replace(DELEGATION, ends_at=NOW)
    assert state(ending, NOW - timedelta(microseconds=1)) is DelegationState.LIVE
    assert state(ending, NOW) is DelegationState.ENDED


def test_a_delegation_is_called_by_what_it_ties_together() -> None:
    assert title("Support", "Customer Support") == "Support → Customer Support"


actions = st.lists(st.one_of(st.sampled_from(ROLE.actions), st.sampled_from(["a:b", "customers:raed", "*", ""])))


@given(actions, st.booleans())
def test_never_more_than_the_role_and_never_nothing(wanted: list[str], everything: bool) -> None:
    try:
        allowed = rules.allowed_actions(wanted, ROLE, all_actions=everything)
    except Invalid:
        assert everything == bool(wanted) or not set(wanted) <= set(ROLE.actions)
        return
    assert allowed
    assert list(allowed) == sorted(set(allowed))
    assert set(allowed) == (set(ROLE.actions) if everything else set(wanted))
    assert set(allowed) <= set(ROLE.actions)


def test_an_action_outside_the_role_is_told_the_nearest_and_all() -> None:
    with pytest.raises(
        Invalid, match=r"'customers:raed' is not .* role 'Support'; the nearest is customers:read\."
    ) as e:
        rules.allowed_actions(("tickets:write", "customers:raed"), ROLE)
    assert e.value.field == "actions.1"
    assert e.value.remedy == "The role has: customers:delete, customers:read, tickets:write"
    large = replace(ROLE, actions=tuple(f"a:a{number:03}" for number in range(100)))
    with pytest.raises(Invalid) as e:
        rules.allowed_actions(("x" * 10_000,), large)
    assert e.value.remedy.endswith("and 88 more")
    assert len(e.value.message) < 250


@given(st.integers(), st.integers(60, 7 * 86400))
def test_durations_are_a_minute_to_the_cap(seconds: int, cap: int) -> None:
    try:
        assert rules.max_duration(seconds, cap) == seconds
    except Invalid as error:
        assert error.field == "max_duration"  # noqa: PT017 - both ways are right, for different numbers
        assert not 60 <= seconds <= cap
    else:
        assert 60 <= seconds <= cap


def test_an_end_lies_ahead() -> None:
    assert rules.end(None, NOW) is None
    assert rules.end(NOW + timedelta(seconds=1), NOW) == NOW + timedelta(seconds=1)
    with pytest.raises(Invalid, match="in the past") as caught:
        rules.end(NOW, NOW)
    assert caught.value.field == "ends_at"


@pytest.mark.parametrize("text", [*TargetType])
def test_every_target_type_is_known_by_its_name(text: str) -> None:
    assert rules.target_type(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("autogen", "'autogen' is not a target type; the nearest is AutoGen AI agent."),
        ("mcp server", "'mcp server' is not a target type; the nearest is MCP server."),
        ("", "'' is not a target type."),
    ],
)
def test_an_unknown_target_type_is_told_the_nearest(text: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        rules.target_type(text)
    assert caught.value.message == told
    assert caught.value.field == "target_type"
    assert all(each in caught.value.remedy for each in TargetType)


def test_excluded_proofs_leave_some_kind() -> None:
    assert rules.excluded_proofs([]) == ()
    assert rules.excluded_proofs(["unattested", "secret", "secret"]) == (ProofKind.SECRET, ProofKind.UNATTESTED)
    with pytest.raises(Invalid, match="'token' is not a kind of proof") as caught:
        rules.excluded_proofs(["secret", "token"])
    assert caught.value.field == "excluded_proofs.1"
    with pytest.raises(Invalid, match="no client could use this"):
        rules.excluded_proofs(list(ProofKind))


def test_audiences_are_a_sorted_set_with_an_end() -> None:
    assert rules.audiences(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(Invalid, match="more than 16") as caught:
        rules.audiences(f"api{number}" for number in range(17))
    assert caught.value.field == "audiences"


def test_where_all_is_well_there_is_nothing_to_say() -> None:
    assert codes(DELEGATION, client()) == []


@pytest.mark.parametrize(
    ("change", "held", "expected"),
    [
        ({}, client(ProofKind.UNATTESTED), ["client_unattested"]),
        ({}, client(ProofKind.SELECTORS), ["client_cannot_prove_itself"]),
        ({"require_dpop": True}, client(ProofKind.UNATTESTED), ["proofs_excluded"]),
        ({"require_dpop": True}, client(ProofKind.SELECTORS, ProofKind.UNATTESTED), ["proofs_excluded"]),
        ({}, client(ProofKind.SECRET), ["client_holds_secret"]),
        ({"excluded_proofs": (ProofKind.SECRET,)}, client(ProofKind.SECRET), ["proofs_excluded"]),
        ({"excluded_proofs": (ProofKind.KEY_PAIR,)}, client(), ["proofs_excluded"]),
        ({"excluded_proofs": (ProofKind.SECRET,)}, client(), []),
        ({}, client(enabled=False), ["client_disabled"]),
        ({"audiences": ()}, client(), ["audience_shared"]),
        ({"audiences": ("authsec-api", "customers-api")}, client(), ["audience_shared"]),
        ({"audiences": ("custmers-api",)}, client(), ["audience_not_registered"]),
        ({"actions": ("customers:read", "tickets:write")}, client(), ["action_not_described"]),
        (
            {"audiences": (), "actions": ("tickets:write",)},
            client(ProofKind.UNATTESTED),
            ["client_unattested", "audience_shared", "action_not_described"],
        ),
    ],
)
def test_what_should_be_known(change: dict[str, Any], held: Client, expected: list[str]) -> None:
    assert codes(replace(DELEGATION, **change), held) == expected


@pytest.mark.parametrize("change", [{"revoked_at": NOW}, {"ends_at": NOW}])
def test_of_what_is_over_there_is_nothing_to_say(change: dict[str, Any]) -> None:
    assert codes(replace(DELEGATION, audiences=(), **change), client(ProofKind.UNATTESTED)) == []


@pytest.mark.parametrize(
    ("cap", "shown"),
    [
        (86400, r"1 minute to 24 hours \(60 to 86400 seconds"),
        (5400, "1 minute to 90 minutes"),
        (61, "1 minute to 61 seconds"),
    ],
)
def test_a_duration_out_of_range_is_told_the_range_in_words(cap: int, shown: str) -> None:
    with pytest.raises(Invalid, match=shown):
        rules.max_duration(cap + 1, cap)


def test_an_unattested_client_is_named_for_what_it_is() -> None:
    (caution,) = warnings(
        DELEGATION,
        client(ProofKind.UNATTESTED),
        described=DELEGATION.actions,
        registered=DELEGATION.audiences,
        default_audience="authsec-api",
        now=NOW,
    )
    assert "anybody who knows its client_id can get tokens for this delegation" in caution.message


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"id": "e", "created_at": NOW + timedelta(days=1), "revision": 3, "changed_by": "Ann"}, True),
        ({"owner": "somebody else", "description": "For the night"}, True),
        ({"role_id": "s"}, False),
        ({"client_id": "d"}, False),
        ({"target_type": TargetType.CREWAI}, False),
        ({"actions": ("customers:read", "tickets:write")}, False),
        ({"max_duration": 60}, False),
        ({"audiences": ()}, False),
        ({"excluded_proofs": (ProofKind.SECRET,)}, False),
        ({"ends_at": NOW + timedelta(days=1)}, False),
    ],
)
def test_the_same_authority_is_the_same_whoever_answers_for_it(other: dict[str, Any], same: bool) -> None:
    assert grants_the_same(DELEGATION, replace(DELEGATION, **other)) is same


def test_only_what_is_live_is_a_twin() -> None:
    off, gone = replace(DELEGATION, enabled=False), replace(DELEGATION, revoked_at=NOW)
    ended = replace(DELEGATION, ends_at=NOW)
    assert live_twin(DELEGATION, [off, gone], NOW) is None
    assert live_twin(ended, [ended], NOW) is None
    assert live_twin(DELEGATION, [off, DELEGATION], NOW) == DELEGATION


@pytest.mark.parametrize(
    ("number", "says"), [(1, "the action. Tokens are unaffected: a:00"), (8, "a:07"), (9, "a:07 and 1 more")]
)
def test_a_caution_about_many_actions_names_some(number: int, says: str) -> None:
    many = replace(DELEGATION, actions=tuple(f"a:{each:02}" for each in range(number)))
    registered = ["customers-api"]
    (caution,) = warnings(many, client(), described=[], registered=registered, default_audience="default", now=NOW)
    assert caution.message.endswith(says)


SELECTORS = Proof(id="s", client_id="c", kind=ProofKind.SELECTORS, created_at=NOW)  # of no trusted issuer
GAPS = {
    "revoked": (client(), replace(DELEGATION, revoked_at=NOW), GrantGap.OVER),
    "ended": (client(), replace(DELEGATION, ends_at=NOW), GrantGap.OVER),
    "disabled": (client(), replace(DELEGATION, enabled=False), GrantGap.DISABLED),
    "actions that the role lost": (client(), replace(DELEGATION, actions=("claims:read",)), GrantGap.DORMANT),
    "no proof": (replace(client(), proofs=()), DELEGATION, GrantGap.UNPROVED),
    "an excluded proof": (client(), replace(DELEGATION, excluded_proofs=(ProofKind.KEY_PAIR,)), GrantGap.EXCLUDED),
    "DPoP, unattested": (client(ProofKind.UNATTESTED), replace(DELEGATION, require_dpop=True), GrantGap.EXCLUDED),
    "only a proof that waits": (
        replace(client(), proofs=(*client().proofs, SELECTORS)),
        replace(DELEGATION, excluded_proofs=(ProofKind.KEY_PAIR,)),
        GrantGap.WAITING,
    ),
    "a disabled client": (client(enabled=False), DELEGATION, GrantGap.CLIENT_DISABLED),
    "nothing": (client(), DELEGATION, None),
}


@pytest.mark.parametrize("name", GAPS)
def test_why_a_delegation_grants_its_client_nothing(name: str) -> None:
    its_client, delegation, gap = GAPS[name]
    assert grant_gap(its_client, delegation, ROLE, NOW) is gap
    its = DelegationParties(delegation=delegation, role=ROLE, client=its_client)
    assert its.grants_nothing(NOW) == (gap in {GrantGap.DORMANT, GrantGap.EXCLUDED, GrantGap.WAITING})
    assert bool(its.reason(NOW)) == (gap is not None)
    assert ("requires DPoP" in its.reason(NOW)) == (name == "DPoP, unattested")
