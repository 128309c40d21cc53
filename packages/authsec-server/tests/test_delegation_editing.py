"""Editing trust delegations, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.apis import service as apis
from authsec_server.audit.model import Named
from authsec_server.clients.model import ClientKind
from authsec_server.delegations import editing, service
from authsec_server.delegations.model import Delegation, Proposal, ResolvedDelegation, TargetType, Terms
from authsec_server.failures import Conflict, Invalid, NotPermitted, Outdated
from authsec_server.principal import Role
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def delegated(estate: Any) -> Delegation:
    """What is edited."""
    estate.role("Support", "customers:delete", "customers:read", "orders:read")
    estate.agent()
    delegation: Delegation = estate.delegate(actions=("customers:delete", "customers:read")).delegation
    return delegation


def as_edit(delegation: Delegation, **what: Any) -> dict[str, Any]:
    """An edit that changes only `what`."""
    same = {
        "target_type": delegation.target_type.value,
        "max_duration": delegation.max_duration,
        "actions": delegation.actions,
        "audiences": delegation.audiences,
        "excluded_proofs": delegation.excluded_proofs,
        "ends_at": delegation.ends_at,
        "owner": delegation.owner,
        "description": delegation.description,
    }
    return {**same, **what}


def edit(estate: Any, delegation: Delegation, **what: Any) -> Delegation:
    wanted = as_edit(delegation, **what)
    resolved: ResolvedDelegation = estate.do(
        lambda tx, act: editing.edit(tx, act, delegation.id, wanted, estate.terms, revision=delegation.revision)
    )
    return resolved.delegation


def now_of(estate: Any, delegation: Delegation) -> Delegation:
    resolved: ResolvedDelegation = estate.see(lambda tx, act: service.get(tx, act, delegation.id, estate.terms))
    return resolved.delegation


def test_an_edit_is_kept_and_recorded_by_what_it_changed(estate: Any, delegated: Delegation) -> None:
    end = estate.act.now + timedelta(days=30)
    edited = edit(
        estate,
        delegated,
        target_type="CrewAI AI agent",
        max_duration=900,
        actions=("customers:read",),
        audiences=("payments",),
        excluded_proofs=("unattested",),
        ends_at=end,
        owner="Team Support",
        description="For the pilot",
    )
    assert edited == now_of(estate, delegated)
    assert (edited.role_id, edited.client_id) == (delegated.role_id, delegated.client_id)
    assert (edited.target_type, edited.max_duration, edited.actions) == (TargetType.CREWAI, 900, ("customers:read",))
    assert (edited.audiences, edited.excluded_proofs, edited.ends_at) == (("payments",), ("unattested",), end)
    assert (edited.owner, edited.description, edited.revision) == ("Team Support", "For the pilot", 2)
    (event,) = estate.events("delegation.edited")
    assert event.delegations == (Named(id=delegated.id, name="Support → Helper"),)
    assert event.detail["revision"] == 2
    assert set(event.detail["before"]) == set(event.detail["after"])
    assert len(event.detail["after"]) == 8
    assert event.detail["before"]["actions"] == ["customers:delete", "customers:read"]
    assert event.detail["after"]["ends_at"] == end.isoformat()


def test_an_edit_that_changes_nothing_is_recorded_if_it_names_authority(estate: Any, delegated: Delegation) -> None:
    wanted = {"owner": delegated.owner, "description": delegated.description}
    estate.do(lambda tx, act: editing.edit(tx, act, delegated.id, wanted, estate.terms, revision=1))
    assert now_of(estate, delegated) == delegated
    assert estate.events("delegation.edited") == []
    assert edit(estate, delegated).revision == 2
    (event,) = estate.events("delegation.edited")
    assert (event.detail["already"], event.detail["before"]) == (True, event.detail["after"])
    assert set(event.detail["after"]) == set(as_edit(delegated)) - set(wanted)
    assert estate.endings() == []


NARROWER: list[dict[str, Any]] = [
    {"actions": ("customers:read", "orders:read")},
    {"actions": ("customers:delete", "customers:read")},
    {"max_duration": 60},
    {"audiences": ("payments",)},
    {"excluded_proofs": ("unattested",)},
]
WIDER: list[dict[str, Any]] = [
    {"actions": ("customers:delete", "customers:read", "orders:read")},
    {"max_duration": 7200},
    {"audiences": ("authsec-api", "payments")},
    {"description": "For the pilot"},
]


def test_narrowing_ends_its_tokens_and_widening_does_not(estate: Any, delegated: Delegation) -> None:
    edited = delegated
    for what in WIDER:
        edited = edit(estate, edited, **what)
    assert estate.endings() == []
    for number, what in enumerate(NARROWER, 1):
        edited = edit(estate, edited, **what)
        assert [ending[:2] for ending in estate.endings()] == [(SubjectKind.DELEGATION, delegated.id)] * number


def test_an_earlier_end_ends_its_tokens_and_a_later_one_does_not(estate: Any, delegated: Delegation) -> None:
    now = estate.act.now
    edited = edit(estate, delegated, ends_at=now + timedelta(hours=2))
    assert len(estate.endings()) == 1
    edited = edit(estate, edited, ends_at=now + timedelta(hours=3))
    edited = edit(estate, edited, ends_at=None)
    assert len(estate.endings()) == 1
    edit(estate, edited, ends_at=now + timedelta(days=300))
    assert len(estate.endings()) == 2


def test_whoever_read_an_older_revision_is_told(estate: Any, delegated: Delegation) -> None:
    estate.do(lambda tx, act: service.disable(tx, act, delegated.id, estate.terms))
    with pytest.raises(Outdated, match="This delegation was changed meanwhile by local operator"):
        edit(estate, delegated, description="Mine")
    assert now_of(estate, delegated).description == ""


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"target_type": "AutoGen"}, "target_type"),
    ({"actions": ()}, "actions"),
    ({"actions": ("customers:read", "customers:list")}, "actions.1"),
    ({"max_duration": 59}, "max_duration"),
    ({"max_duration": 86_401}, "max_duration"),
    ({"audiences": ("https://x/#y",)}, "audiences.0"),
    ({"excluded_proofs": ("token",)}, "excluded_proofs.0"),
    ({"owner": ""}, "owner"),
    ({"description": "\0"}, "description"),
]


def test_every_error_names_its_field_and_leaves_it_as_it_was(estate: Any, delegated: Delegation) -> None:
    for what, field in [*REFUSED, ({"ends_at": estate.act.now}, "ends_at")]:
        with pytest.raises(Invalid) as caught:
            edit(estate, delegated, **what)
        assert caught.value.field == field
    assert now_of(estate, delegated) == delegated


def test_what_is_over_is_not_edited(estate: Any, delegated: Delegation) -> None:
    estate.do(lambda tx, act: service.revoke(tx, act, delegated.id, estate.terms))
    with pytest.raises(Conflict, match="revoked, which cannot be undone"):
        edit(estate, now_of(estate, delegated), description="Mine")


def test_a_viewer_edits_nothing_and_may_see_what_an_edit_would_do(estate: Any, delegated: Delegation) -> None:
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    with pytest.raises(NotPermitted):
        edit(estate, delegated, max_duration=900)
    wanted = as_edit(delegated, max_duration=900)
    resolved, rows = estate.see(lambda tx, act: editing.proposed_edit(tx, act, delegated.id, wanted, estate.terms))
    assert resolved.delegation.max_duration == 900
    assert [(row.before, row.after, row.narrows) for row in rows] == [("1 hour", "15 minutes", True)]
    assert now_of(estate, delegated) == delegated


def test_an_action_that_the_role_has_lost_may_stay_but_not_come_back(estate: Any, delegated: Delegation) -> None:
    lost = {"name": "Support", "description": "", "actions": ["customers:read", "orders:read"]}
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=lost))
    kept = edit(estate, delegated, description="For the pilot")
    assert kept.actions == ("customers:delete", "customers:read")
    without = edit(estate, kept, actions=("customers:read",))
    with pytest.raises(Invalid, match="customers:delete"):
        edit(estate, without, actions=("customers:delete", "customers:read"))


def test_an_audience_keeps_its_meaning_when_an_api_is_called_so_later(estate: Any, delegated: Delegation) -> None:
    named = edit(estate, delegated, audiences=("payments",))
    estate.do(lambda tx, act: apis.create(tx, act, name="Payments", identifier="https://payments.example"))
    same = edit(estate, named, description="For the pilot")
    assert same.audiences == ("payments",), "an edit of something else moved the authority to another API"
    cleared = edit(estate, same, audiences=())
    assert edit(estate, cleared, audiences=("payments",)).audiences == ("https://payments.example",)


def test_a_duration_from_before_the_cap_was_lowered_may_stay(estate: Any, delegated: Delegation) -> None:
    estate.terms = Terms(max_token_lifetime=600, default_audience="authsec-api")
    kept = edit(estate, delegated, description="For the pilot")
    assert kept.max_duration == 3600
    with pytest.raises(Invalid, match="10 minutes"):
        edit(estate, kept, max_duration=1800)


def test_a_target_type_that_is_not_what_the_client_is_is_said(estate: Any, delegated: Delegation) -> None:
    def codes(resolved: ResolvedDelegation) -> set[str]:
        return {caution.code for caution in resolved.cautions}

    estate.agent("Tools", kind=ClientKind.MCP_SERVER)
    differing = estate.delegate(client="tools")
    (message,) = (each.message for each in differing.cautions if each.code == "target_differs")
    assert message == "Tools is an MCP server, but its tokens say AutoGen AI agent."
    assert "target_differs" in codes(estate.delegate(target_type="MCP server"))
    assert "target_differs" not in codes(estate.delegate(client="tools", target_type="MCP server"))
    assert "target_differs" not in codes(estate.delegate())


def test_a_proposal_has_all_cautions_and_stores_nothing(estate: Any, delegated: Delegation) -> None:
    proposal = Proposal(
        role="support",
        client="helper",
        target_type="AutoGen AI agent",
        max_duration=60,
        actions=("customers:read",),
    )
    proposed = estate.see(lambda tx, act: service.propose(tx, act, proposal, estate.terms, delegation_id="the new one"))
    assert (proposed.delegation.id, proposed.delegation.max_duration) == ("the new one", 60)
    assert {"client_unattested", "delegation_repeats"} <= {caution.code for caution in proposed.cautions}
    assert len(estate.see(lambda tx, _act: service.of_client(tx, delegated.client_id))) == 1
    wrong = replace(proposal, actions=("customers:list",))
    with pytest.raises(Invalid, match="customers:list"):
        estate.see(lambda tx, act: service.propose(tx, act, wrong, estate.terms, delegation_id="the new one"))


edits = st.fixed_dictionaries(
    {},
    optional={
        "actions": st.sets(st.sampled_from(["customers:delete", "customers:read", "orders:read"]), min_size=1).map(
            tuple
        ),
        "max_duration": st.sampled_from([60, 3600, 7200]),
        "audiences": st.sets(st.sampled_from(["authsec-api", "payments"])).map(tuple),
        "excluded_proofs": st.sets(st.sampled_from(["unattested", "secret"])).map(tuple),
        "require_dpop": st.booleans(),
        "description": st.sampled_from(["", "For the pilot"]),
    },
)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(edits, min_size=1, max_size=4))
def test_narrowing_always_writes_an_ending_and_nothing_else_does(
    estate: Any, delegated: Delegation, sequence: list[dict[str, Any]]
) -> None:
    before = now_of(estate, delegated)
    for what in sequence:
        endings, events = len(estate.endings()), len(estate.events("delegation.edited"))
        after = edit(estate, before, **what)
        narrower = (
            not set(before.actions) <= set(after.actions)
            or after.max_duration < before.max_duration
            or not set(before.audiences or ["authsec-api"]) <= set(after.audiences or ["authsec-api"])
            or not set(after.excluded_proofs) <= set(before.excluded_proofs)
            or (after.require_dpop and not before.require_dpop)
        )
        assert len(estate.endings()) - endings == narrower
        assert len(estate.events("delegation.edited")) - events == (after != before)
        assert after.revision - before.revision == (after != before)
        before = after
