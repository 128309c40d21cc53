"""The decision: what it never does, whatever the authority looks like; and each of its answers once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.attestation.model import Proved
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.roles.model import RoleDefinition
from authsec_server.tokens.claims import claims
from authsec_server.tokens.decision import Facts, Granted, GrantedAuthority, LifetimeLimits, decide
from authsec_server.tokens.refusal import Denied, Reason
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ACTIONS = ["customers:read", "customers:delete", "orders:read", "orders:refund"]
AUDIENCES = ["https://a.example", "https://b.example", "payments"]
LIMITS = LifetimeLimits(default_audience="authsec-api", max_token_lifetime=86_400)
PROVED = Proved(proof_id="p1", kind=ProofKind.KEY_PAIR)


def proof(**changes: object) -> Proof:
    return replace(Proof(id="p1", client_id="c1", kind=ProofKind.KEY_PAIR, created_at=NOW), **changes)


def client(**changes: object) -> Client:
    it = Client(
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
        proofs=(proof(),),
    )
    return replace(it, **changes)


def authority(id_: str = "d1", *, role: tuple[str, ...] = ("customers:read",), **changes: object) -> GrantedAuthority:
    delegation = Delegation(
        id=id_,
        role_id=f"r-{id_}",
        client_id="c1",
        target_type=TargetType.AUTOGEN,
        actions=("customers:read",),
        max_duration=3600,
        owner="",
        description="",
        created_at=NOW,
    )
    definition = RoleDefinition(
        id=f"r-{id_}", slug=f"role-{id_}", name="Role", description="", actions=role, created_at=NOW
    )
    return GrantedAuthority(delegation=replace(delegation, **changes), role=definition)


def facts(*authorities: GrantedAuthority, client: Client | None = None) -> Facts:
    return Facts(version=7, client=client or globals()["client"](), authorities=authorities, audiences={})


def outcome(
    *authorities: GrantedAuthority,
    client: Client | None = None,
    actions: tuple[str, ...] | None = None,
    resources: tuple[str, ...] = (),
    proved: Proved = PROVED,
    thumbprint: str = "",
) -> Granted | Denied:
    its = facts(*authorities, client=client)
    return decide(its, proved, actions, resources, LIMITS, NOW, thumbprint=thumbprint)


def reason(*authorities: GrantedAuthority, **asked: object) -> Reason:
    denied = outcome(*authorities, **asked)
    assert isinstance(denied, Denied)
    return denied.reason


def test_a_token_of_more_actions_than_its_event_can_hold_is_refused() -> None:
    several = [
        authority(f"d{number}", role=held, actions=held)
        for number in range(11)
        for held in [tuple(f"r{number}:a{each}" for each in range(200))]
    ]
    assert isinstance(outcome(*several[:10]), Granted)
    denied = outcome(*several)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.details.split(" ")[0]) == (Reason.INVALID_SCOPE, "2,200")
    assert isinstance(outcome(*several, actions=several[0].role.actions), Granted)


some_actions = st.lists(st.sampled_from(ACTIONS), unique=True).map(lambda them: tuple(sorted(them)))
some_audiences = st.lists(st.sampled_from(AUDIENCES), unique=True, max_size=2).map(tuple)
some_authorities = st.lists(
    st.builds(
        lambda number, role, allowed, audiences, duration, ends, enabled, revoked, excluded, required: authority(
            f"d{number}",
            role=role,
            actions=allowed,
            audiences=audiences,
            max_duration=duration,
            ends_at=None if ends is None else NOW + timedelta(seconds=ends),
            enabled=enabled,
            revoked_at=NOW if revoked else None,
            excluded_proofs=(ProofKind.KEY_PAIR,) if excluded else (),
            require_dpop=required,
        ),
        st.integers(0, 9),
        some_actions,
        some_actions,
        some_audiences,
        st.integers(60, 200_000),
        st.none() | st.floats(-10, 5000),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=4,
    unique_by=lambda it: it.delegation.id,
)
asked_actions = st.none() | some_actions
asked_resources = st.lists(st.sampled_from([*AUDIENCES, "authsec-api", "unknown"]), unique=True, max_size=2).map(tuple)


@settings(max_examples=examples(1500))
@given(
    some_authorities,
    asked_actions,
    asked_resources,
    st.none() | st.floats(0, 5000),
    st.booleans(),
    st.sampled_from(["", "thumbprint"]),
)
def test_a_token_never_carries_more_than_was_delegated(
    authorities: list[GrantedAuthority],
    actions: tuple[str, ...] | None,
    resources: tuple[str, ...],
    proof_ends: float | None,
    enabled: bool,
    thumbprint: str,
) -> None:
    expires = None if proof_ends is None else NOW + timedelta(seconds=proof_ends)
    it = client(proofs=(proof(expires_at=expires),), enabled=enabled)
    granted = outcome(*authorities, client=it, actions=actions, resources=resources, thumbprint=thumbprint)
    if isinstance(granted, Denied):
        return
    assert enabled
    assert granted.thumbprint == thumbprint
    assert granted.actions, "an empty token"
    assert actions is None or set(granted.actions) == set(actions), "trimmed or widened"
    assert not resources or set(granted.audience) == set(resources)
    assert granted.lifetime >= 1
    end = NOW + timedelta(seconds=granted.lifetime)
    assert granted.lifetime <= LIMITS.max_token_lifetime
    assert expires is None or end <= expires
    for source in granted.sources:
        delegation = source.delegation
        assert delegation.enabled
        assert delegation.revoked_at is None
        assert thumbprint or not delegation.require_dpop
        assert ProofKind.KEY_PAIR not in delegation.excluded_proofs
        assert granted.lifetime <= delegation.max_duration
        assert delegation.ends_at is None or end <= delegation.ends_at
        assert set(granted.audience) <= set(delegation.audiences or ("authsec-api",))
    for action in granted.actions:
        assert any(action in s.delegation.actions and action in s.role.actions for s in granted.sources)


@settings(max_examples=examples(500))
@given(some_authorities, some_actions, asked_resources)
def test_the_smaller_request_that_is_named_passes(
    authorities: list[GrantedAuthority], actions: tuple[str, ...], resources: tuple[str, ...]
) -> None:
    denied = outcome(*authorities, actions=actions, resources=resources)
    if isinstance(denied, Denied) and denied.smaller:
        assert isinstance(outcome(*authorities, actions=denied.smaller, resources=resources), Granted)


@settings(max_examples=examples(500))
@given(some_authorities, asked_actions, asked_resources)
def test_taking_authority_away_never_gives_more(
    authorities: list[GrantedAuthority], actions: tuple[str, ...] | None, resources: tuple[str, ...]
) -> None:
    """Without any one delegation, an explicit request gets at most what it got with it."""
    if actions is None or not resources:
        return  # an open question has no fixed answer: fewer delegations can make an ambiguous request clear
    whole = outcome(*authorities, actions=actions, resources=resources)
    for left_out in authorities:
        part = outcome(*(it for it in authorities if it is not left_out), actions=actions, resources=resources)
        assert isinstance(part, Denied) or isinstance(whole, Granted)


@settings(max_examples=examples(500))
@given(some_authorities, asked_actions, asked_resources)
def test_a_proof_of_a_key_never_takes_away_what_is_asked_for(
    authorities: list[GrantedAuthority], actions: tuple[str, ...] | None, resources: tuple[str, ...]
) -> None:
    """Who is told to send a DPoP proof gets further with it."""
    asked = {"actions": actions, "resources": resources}
    plain, bound = outcome(*authorities, **asked), outcome(*authorities, **asked, thumbprint="thumbprint")
    if isinstance(plain, Granted):
        assert isinstance(bound, Granted) or actions is None or not resources  # more may be ambiguous
    elif plain.needs_dpop:
        assert isinstance(bound, Granted) or (bound.reason is not plain.reason and not bound.needs_dpop)
    assert isinstance(bound, Granted) or not bound.needs_dpop


def test_a_delegation_that_requires_dpop_is_left_out_without_a_proof() -> None:
    read = authority("d1")
    orders = authority("d2", role=("orders:read",), actions=("orders:read",), require_dpop=True)
    plain, bound = outcome(read, orders), outcome(read, orders, thumbprint="thumbprint")
    assert isinstance(plain, Granted)
    assert isinstance(bound, Granted)
    assert (plain.actions, bound.actions) == (("customers:read",), ("customers:read", "orders:read"))
    for asked in ({"actions": ("orders:read",)}, {"actions": ("customers:read", "orders:read")}):
        denied = outcome(read, orders, **asked)
        assert isinstance(denied, Denied)
        assert (denied.reason, denied.needs_dpop) == (Reason.PROOF_NOT_ACCEPTED, True)
    assert reason(read, orders, actions=("orders:refund",)) is Reason.ACTION_NOT_ALLOWED
    assert reason(authority("d1", require_dpop=True, revoked_at=NOW)) is Reason.DELEGATION_ENDED


def test_nothing_delegated() -> None:
    assert reason() is Reason.NO_DELEGATION
    assert reason(authority(enabled=False)) is Reason.NO_DELEGATION
    assert reason(authority(enabled=False), authority("d2", revoked_at=NOW)) is Reason.NO_DELEGATION


def test_all_ended() -> None:
    assert reason(authority(revoked_at=NOW)) is Reason.DELEGATION_ENDED
    assert reason(authority(ends_at=NOW)) is Reason.DELEGATION_ENDED
    assert reason(authority(ends_at=NOW + timedelta(seconds=0.9))) is Reason.DELEGATION_ENDED


def test_a_live_one_suffices_beside_those_that_ended() -> None:
    granted = outcome(authority(revoked_at=NOW), authority("d2"), authority("d3", enabled=False))
    assert isinstance(granted, Granted)
    assert [source.delegation.id for source in granted.sources] == ["d2"]


def test_a_disabled_client_gets_nothing() -> None:
    assert reason(authority(), client=client(enabled=False)) is Reason.CLIENT_DISABLED


def test_a_proof_that_has_gone_meanwhile_proves_nothing() -> None:
    assert reason(authority(), client=client(proofs=())) is Reason.ATTESTATION_INVALID
    assert reason(authority(), client=client(proofs=(proof(id="other"),))) is Reason.ATTESTATION_INVALID
    assert reason(authority(), client=client(proofs=(proof(expires_at=NOW),))) is Reason.ATTESTATION_INVALID


def test_a_client_that_has_gone_meanwhile() -> None:
    denied = decide(Facts(version=1, client=None, authorities=(), audiences={}), PROVED, None, (), LIMITS, NOW)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.CLIENT_NOT_FOUND


def test_a_kind_of_proof_that_is_excluded() -> None:
    excluding = authority(excluded_proofs=(ProofKind.KEY_PAIR,))
    assert reason(excluding) is Reason.PROOF_NOT_ACCEPTED
    assert isinstance(outcome(excluding, authority("d2")), Granted)


def test_asking_for_more_names_what_would_pass() -> None:
    denied = outcome(authority(), actions=("customers:delete", "customers:read"))
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.smaller) == (Reason.ACTION_NOT_ALLOWED, ("customers:read",))
    assert "customers:delete" in denied.details


@pytest.mark.parametrize("empty", [{"role": ()}, {"actions": ()}, {"role": ("orders:read",)}])
def test_an_empty_set_grants_nothing(empty: dict[str, object]) -> None:
    assert reason(authority(**empty)) is Reason.ACTION_NOT_ALLOWED
    assert reason(authority(), actions=()) is Reason.ACTION_NOT_ALLOWED


def test_two_audiences_need_a_choice() -> None:
    a, b = authority("d1", audiences=("https://a.example",)), authority("d2", audiences=("https://b.example",))
    denied = outcome(a, b)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.INVALID_TARGET
    assert "https://a.example, or https://b.example" in denied.details
    granted = outcome(a, b, resources=("https://b.example",))
    assert isinstance(granted, Granted)
    assert granted.audience == ("https://b.example",)
    assert [source.delegation.id for source in granted.sources] == ["d2"]


def test_of_a_delegation_that_has_ended_the_refusal_says_so() -> None:
    live = authority("d1", audiences=("https://a.example",))
    revoked = authority("d2", audiences=("https://b.example",), revoked_at=NOW - timedelta(days=1))
    denied = outcome(live, revoked, resources=("https://b.example",))
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.INVALID_TARGET
    assert denied.details == (
        "The trust delegation for https://b.example has ended. Nothing is delegated for https://b.example. "
        "Delegated for: https://a.example."
    )
    other = outcome(live, revoked, resources=("https://c.example",))
    assert isinstance(other, Denied)
    assert "ended" not in other.details


def test_of_a_live_delegation_that_accepts_no_such_proof_the_refusal_does_not_say_that_it_has_ended() -> None:
    b = ("https://b.example",)
    accepting = authority("d1", audiences=("https://a.example",))
    excluding = authority("d2", audiences=b, excluded_proofs=(PROVED.kind,))
    revoked = authority("d3", audiences=b, revoked_at=NOW - timedelta(days=1))
    for others in ((), (revoked,)):
        denied = outcome(accepting, excluding, *others, resources=b)
        assert isinstance(denied, Denied)
        assert denied.details == (
            f"The trust delegation for https://b.example does not accept the proof kind {PROVED.kind}; "
            "use another kind of proof."
        )


def test_an_action_is_not_carried_to_an_audience_it_was_not_delegated_for() -> None:
    a = authority("d1", audiences=("https://a.example",))
    b = authority("d2", role=("orders:read",), actions=("orders:read",), audiences=("https://b.example",))
    asked = {"actions": ("orders:read",), "resources": ("https://a.example",)}
    denied = outcome(a, b, **asked)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.INVALID_TARGET
    assert "orders:read" in denied.details


def test_a_token_for_two_audiences_draws_only_on_delegations_for_both() -> None:
    both = authority("d1", audiences=("https://a.example", "https://b.example"), max_duration=60)
    one = authority("d2", audiences=("https://a.example",))
    granted = outcome(both, one, resources=("https://a.example", "https://b.example"))
    assert isinstance(granted, Granted)
    assert (granted.lifetime, [source.delegation.id for source in granted.sources]) == (60, ["d1"])


def test_a_registered_name_stands_for_its_audience() -> None:
    its = replace(facts(authority(audiences=("https://a.example",))), audiences={"customers": "https://a.example"})
    granted = decide(its, PROVED, None, ("customers",), LIMITS, NOW)
    assert isinstance(granted, Granted)
    assert granted.audience == ("https://a.example",)


def test_the_longest_life_counts_then_the_lowest_id() -> None:
    granted = outcome(authority("d3", max_duration=600), authority("d2"), authority("d1"))
    assert isinstance(granted, Granted)
    assert (granted.lifetime, [source.delegation.id for source in granted.sources]) == (3600, ["d1"])


def test_the_shortest_of_those_drawn_from_bounds_the_life() -> None:
    short = authority("d2", role=("orders:read",), actions=("orders:read",), max_duration=60)
    granted = outcome(authority("d1"), short)
    assert isinstance(granted, Granted)
    assert granted.lifetime == 60


def test_the_claims() -> None:
    granted = outcome(authority(audiences=("https://a.example",)))
    assert isinstance(granted, Granted)
    assert claims(granted, issuer="https://issuer", trust_domain="example.org", jti="j", now=NOW) == {
        "iss": "https://issuer",
        "sub": "spiffe://example.org/agent/c1",
        "aud": ["https://a.example"],
        "exp": int(NOW.timestamp()) + 3600,
        "iat": int(NOW.timestamp()),
        "nbf": int(NOW.timestamp()),
        "jti": "j",
        "client_id": "c1",
        "scope": "customers:read",
        "permissions": ["customers:read"],
        "roles": ["role-d1"],
        "delegation_ids": ["d1"],
        "authority_version": 7,
        "agent_type": "AutoGen AI agent",
        "attestation": {"method": "key_pair", "selectors": [], "proof": "p1"},
    }


def test_an_unattested_token_says_so() -> None:
    nobody = client(proofs=(proof(kind=ProofKind.UNATTESTED),))
    granted = outcome(authority(), client=nobody, proved=Proved(proof_id="p1", kind=ProofKind.UNATTESTED))
    assert isinstance(granted, Granted)
    its = claims(granted, issuer="https://issuer", trust_domain="example.org", jti="j", now=NOW)
    assert its["attestation"] == {"method": "none", "proof": "p1"}


def test_an_action_that_a_delegation_allows_with_another_proof_is_told_apart() -> None:
    other = authority("d2", role=("orders:read",), actions=("orders:read",), excluded_proofs=(ProofKind.KEY_PAIR,))
    denied = outcome(authority(), other, actions=("orders:read", "orders:refund"))
    assert isinstance(denied, Denied)
    assert (denied.missing, denied.withheld) == (("orders:read", "orders:refund"), ("orders:read",))
    assert denied.details == (
        "Not delegated: orders:refund. Not delegated for this kind of proof: orders:read. Delegated: customers:read."
    )
    over = replace(other, delegation=replace(other.delegation, revoked_at=NOW))
    denied = outcome(authority(), over, actions=("orders:read",))
    assert isinstance(denied, Denied)
    assert denied.withheld == ()
