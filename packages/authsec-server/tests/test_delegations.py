"""Trust delegations, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.apis import service as apis
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Onboarding, ProofKind
from authsec_server.db import Database, Tx
from authsec_server.delegations import editing, search, service
from authsec_server.delegations.model import DelegationState, Proposal, ResolvedDelegation, TargetType, Terms
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TERMS = Terms(max_token_lifetime=86400, default_audience="authsec-api")


@pytest.fixture
def role(database: Database, act: Act) -> RoleDefinition:
    """What may be delegated."""
    actions = ["customers:read", "customers:delete"]
    return database.change(lambda tx: roles.create(tx, act, name="Support", actions=actions))


@pytest.fixture
def client(database: Database, act: Act) -> Client:
    """To whom."""
    return database.change(
        lambda tx: clients.create(tx, act, Onboarding(name="Customer Support", platform="unattested"))
    )


def create(database: Database, act: Act, **what: Any) -> ResolvedDelegation:
    values = {
        "role": "support",
        "client": "customer-support",
        "target_type": "AutoGen AI agent",
        "actions": ("customers:read",),
        "max_duration": 3600,
        **what,
    }
    return database.change(lambda tx: service.create(tx, act, Proposal(**values), TERMS))


def edited(tx: Tx, act: Act, id_: str, terms: Terms) -> ResolvedDelegation:
    wanted = {
        "target_type": "MCP server",
        "actions": ("customers:delete",),
        "max_duration": 60,
        "audiences": ("crm",),
        "excluded_proofs": (),
        "ends_at": NOW + timedelta(days=1),
        "owner": "Me",
        "description": "Another",
    }
    return editing.edit(tx, act, id_, wanted, terms, revision=1)


def events(database: Database, act: Act) -> list[Event]:
    """What the audit log holds of delegations, oldest first."""
    found = reversed(database.read(lambda tx: audit.page(tx, act.principal).items))
    return [each.event for each in found if each.event.kind.startswith("delegation.")]


def endings(database: Database) -> list[tuple[SubjectKind, str]]:
    return [(each.subject_kind, each.subject_id) for each in database.read(lambda tx: revocations.since(tx, 0))]


def test_authority_is_delegated(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act)
    delegation = resolved.delegation
    assert (delegation.role_id, delegation.client_id) == (role.id, client.id)
    assert (resolved.role, resolved.client, resolved.state) == (role, client, DelegationState.LIVE)
    assert delegation.target_type is TargetType.AUTOGEN
    assert delegation.actions == ("customers:read",)
    assert delegation.max_duration == 3600
    assert (delegation.audiences, delegation.excluded_proofs, delegation.ends_at) == ((), (), None)
    assert delegation.owner == "local operator"
    assert database.read(lambda tx: service.get(tx, act, delegation.id, TERMS)) == resolved
    assert database.read(lambda tx: service.of_client(tx, client.id)) == [(delegation, role)]


def test_everything_that_was_said_is_kept(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(
        database,
        act,
        role=role.id,
        client=client.id,
        target_type="MCP server",
        max_duration=60,
        audiences=("https://b.example.com", "a-api"),
        excluded_proofs=("unattested",),
        ends_at=NOW + timedelta(days=30),
        owner="Team Support",
        description="For the pilot.\nAsk Ada.",
    )
    found = database.read(lambda tx: service.of_client(tx, client.id))[0][0]
    assert found == resolved.delegation
    assert found.audiences == ("a-api", "https://b.example.com")
    assert found.excluded_proofs == (ProofKind.UNATTESTED,)
    assert found.ends_at == NOW + timedelta(days=30)
    assert (found.owner, found.description) == ("Team Support", "For the pilot.\nAsk Ada.")


def test_all_actions_are_those_of_this_moment(
    database: Database, act: Act, role: RoleDefinition, client: Client
) -> None:
    assert create(database, act, actions=(), all_actions=True).delegation.actions == role.actions


def test_an_audience_may_be_named_by_the_apis_slug(
    database: Database, act: Act, role: RoleDefinition, client: Client
) -> None:
    url = "https://api.example.com/customers"
    database.change(lambda tx: apis.create(tx, act, name="Customers", identifier=url))
    resolved = create(database, act, audiences=("customers", url, "other-api"))
    assert resolved.delegation.audiences == (url, "other-api")
    assert "audience_not_registered" in {caution.code for caution in resolved.cautions}


def test_the_audit_log_holds_ids_and_names(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    delegation = create(database, act, ends_at=NOW + timedelta(days=1)).delegation
    (event,) = events(database, act)
    assert event.kind is EventKind.DELEGATION_CREATED
    assert event.client == Named(id=client.id, name="Customer Support")
    assert event.roles == (Named(id=role.id, name="Support"),)
    assert event.delegations == (Named(id=delegation.id, name="Support → Customer Support"),)
    assert event.detail == {
        "slug": "customer-support-support",
        "owner": "local operator",
        "description": "",
        "target_type": "AutoGen AI agent",
        "actions": ["customers:read"],
        "max_duration": 3600,
        "audiences": [],
        "excluded_proofs": [],
        "require_dpop": False,
        "ends_at": "2026-11-26T12:00:00+00:00",
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"role": "nobody"}, "role"),
    ({"role": "\0"}, "role"),
    ({"role": "x" * 10_000}, "role"),
    ({"role": "6f1d2a34-0000-4000-8000-000000000001"}, "role"),
    ({"client": "nobody"}, "client"),
    ({"client": "\0"}, "client"),
    ({"target_type": "AutoGen"}, "target_type"),
    ({"actions": ()}, "actions"),
    ({"actions": ("customers:read", "customers:list")}, "actions.1"),
    ({"all_actions": True}, "actions"),
    ({"max_duration": 59}, "max_duration"),
    ({"max_duration": 86401}, "max_duration"),
    ({"max_duration": -(10**30)}, "max_duration"),
    ({"audiences": ("customers-api", "https://x/#y")}, "audiences.1"),
    ({"audiences": ("\0",)}, "audiences.0"),
    ({"audiences": ("",)}, "audiences.0"),
    ({"excluded_proofs": ("token",)}, "excluded_proofs.0"),
    ({"ends_at": NOW}, "ends_at"),
    ({"owner": "\x1b"}, "owner"),
    ({"description": "\0"}, "description"),
]


def test_every_error_names_its_field_and_leaves_nothing(
    database: Database, act: Act, role: RoleDefinition, client: Client
) -> None:
    for what, field in REFUSED:
        with pytest.raises(Invalid) as caught:
            create(database, act, **what)
        assert caught.value.field == field, what
        assert caught.value.remedy or "characters" in caught.value.message
    assert database.read(lambda tx: search.page(tx, act, TERMS)) == ([], None)
    assert events(database, act) == []


def turn(database: Database, act: Act, verb: Any, resolved: ResolvedDelegation) -> ResolvedDelegation:
    result: ResolvedDelegation = database.change(lambda tx: verb(tx, act, resolved.delegation.id, TERMS))
    return result


def test_disabling_ends_tokens_each_time(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act)
    for _ in range(2):
        disabled = turn(database, act, service.disable, resolved)
        assert disabled.state is DelegationState.DISABLED
    assert endings(database) == [(SubjectKind.DELEGATION, resolved.delegation.id)] * 2
    assert [event.kind for event in events(database, act)][1:] == [EventKind.DELEGATION_DISABLED] * 2
    assert database.read(lambda tx: service.of_client(tx, client.id)) == [(disabled.delegation, role)]


def test_enabling_revives_no_token(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act)
    turn(database, act, service.disable, resolved)
    for _ in range(2):
        enabled = turn(database, act, service.enable, resolved)
        assert enabled.state is DelegationState.LIVE
        assert enabled.delegation.revision == 3, "off and on again are two changes; what is on already stays"
    assert len(endings(database)) == 1, "the ending stands"
    assert [event.kind for event in events(database, act)][2:] == [EventKind.DELEGATION_ENABLED]


def test_revoking_is_for_good(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act)
    for _ in range(2):
        revoked = turn(database, act, service.revoke, resolved)
        assert revoked.state is DelegationState.REVOKED
        assert revoked.delegation.revoked_at == act.now
    assert endings(database) == 2 * [(SubjectKind.DELEGATION, resolved.delegation.id)]
    with pytest.raises(Conflict, match="revoked, which cannot be undone") as caught:
        turn(database, act, service.enable, resolved)
    assert caught.value.remedy == "Create a new delegation instead."
    assert turn(database, act, service.disable, resolved).state is DelegationState.REVOKED
    recorded = [(event.kind, event.detail.get("already")) for event in events(database, act)][1:]
    revoked_again, disabled = (EventKind.DELEGATION_REVOKED, True), (EventKind.DELEGATION_DISABLED, True)
    assert recorded == [(EventKind.DELEGATION_REVOKED, None), revoked_again, disabled]
    assert len(endings(database)) == 3


def test_what_is_off_can_still_be_revoked(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act)
    turn(database, act, service.disable, resolved)
    assert turn(database, act, service.revoke, resolved).state is DelegationState.REVOKED
    assert len(endings(database)) == 2


def test_what_has_ended_cannot_be_enabled(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    resolved = create(database, act, ends_at=NOW + timedelta(hours=1))
    later = replace(act, now=NOW + timedelta(hours=1))
    assert (
        database.read(lambda tx: service.get(tx, later, resolved.delegation.id, TERMS)).state is DelegationState.ENDED
    )
    with pytest.raises(Conflict, match="ended, which cannot be undone"):
        turn(database, later, service.enable, resolved)


@pytest.mark.parametrize("then", [service.disable, service.enable, service.revoke, edited])
def test_what_an_act_answers_is_what_is_read_afterwards(
    database: Database, act: Act, role: RoleDefinition, client: Client, then: Callable[..., ResolvedDelegation]
) -> None:
    database.change(lambda tx: apis.create(tx, act, name="CRM", identifier="https://crm.example.com"))
    made = create(database, act, audiences=("crm", "unknown"))
    if then is service.enable:
        database.change(lambda tx: service.disable(tx, act, made.delegation.id, TERMS))
    answered = database.change(lambda tx: then(tx, act, made.delegation.id, TERMS))
    assert answered == database.read(lambda tx: service.get(tx, act, made.delegation.id, TERMS))
    assert bool(answered.cautions) is (answered.state is not DelegationState.REVOKED)


def test_a_viewer_only_reads(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    resolved = create(database, act)
    assert database.read(lambda tx: search.page(tx, viewer, TERMS)) == ([resolved], None)
    assert database.read(lambda tx: service.get(tx, viewer, resolved.delegation.id, TERMS)) == resolved
    with pytest.raises(NotPermitted):
        create(database, viewer)
    for verb in (service.disable, service.enable, service.revoke):
        with pytest.raises(NotPermitted):
            turn(database, viewer, verb, resolved)


def test_an_unknown_delegation_is_not_found(database: Database, act: Act) -> None:
    for handle in ("nobody", "", "\0", "x" * 10_000, "6f1d2a34-0000-4000-8000-000000000001"):
        for verb in (service.get, service.disable, service.enable, service.revoke):
            with pytest.raises(NotFound, match="There is no delegation"):
                database.change(lambda tx, verb=verb, handle=handle: verb(tx, act, handle, TERMS))


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_pages_hold_everything_once_the_newest_first(
    database: Database, act: Act, role: RoleDefinition, client: Client
) -> None:
    moments = [NOW + timedelta(minutes=minutes) for minutes in (0, 2, 1, 1, 1)]  # equal ones too
    made = [
        create(database, replace(act, now=now), max_duration=60 * number).delegation
        for number, now in enumerate(moments, start=1)
    ]
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = database.read(lambda tx, after=after: search.page(tx, act, TERMS, after=after, limit=2))
        seen += [resolved.delegation.id for resolved in found]
    made.sort(key=lambda delegation: (delegation.created_at, delegation.id), reverse=True)
    assert seen == [delegation.id for delegation in made]
    with pytest.raises(Invalid, match="cursor"):
        database.read(lambda tx: search.page(tx, act, TERMS, after="6f1d2a34-0000-4000-8000-000000000001"))


def test_a_client_has_only_its_own(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    other = database.change(lambda tx: clients.create(tx, act, Onboarding(name="Other", platform="unattested")))
    create(database, act)
    assert database.read(lambda tx: service.of_client(tx, other.id)) == []


def test_a_failed_revocation_changes_nothing(
    database: Database, act: Act, role: RoleDefinition, client: Client
) -> None:
    resolved = create(database, act)

    def revoke_then_fail(tx: Tx) -> None:
        service.revoke(tx, act, resolved.delegation.id, TERMS)
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk"):
        database.change(revoke_then_fail)
    assert endings(database) == []
    assert database.read(lambda tx: service.get(tx, act, resolved.delegation.id, TERMS)) == resolved


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_the_same_is_not_delegated_twice(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    first = create(database, act).delegation.slug
    recorded = events(database, act)
    with pytest.raises(Conflict, match=f"already exists: {first}. Nothing was created."):
        create(database, act, owner="Somebody else", description="For the night")
    assert len(database.read(lambda tx: service.of_client(tx, client.id))) == 1
    assert events(database, act) == recorded
    later = replace(act, now=act.now + timedelta(days=1))
    ending = create(database, act, ends_at=later.now).delegation.slug
    with pytest.raises(Conflict, match=ending):
        create(database, act, ends_at=later.now)
    database.change(lambda tx: service.disable(tx, act, first, TERMS))
    again = create(database, act).delegation.id
    database.change(lambda tx: service.revoke(tx, act, again, TERMS))
    create(database, act)


def test_what_is_delegated_twice_is_said(database: Database, act: Act, role: RoleDefinition, client: Client) -> None:
    def repeats(**what: Any) -> list[str]:
        return [each.message for each in create(database, act, **what).cautions if each.code == "delegation_repeats"]

    first = create(database, act, actions=("customers:delete", "customers:read")).delegation.id
    assert first in repeats()[0]
    assert repeats(audiences=("https://a.example",)) == [], "for another audience it is another authority"
    for each in database.read(lambda tx: service.of_client(tx, client.id)):
        database.change(lambda tx, id_=each[0].id: service.revoke(tx, act, id_, TERMS))
    assert repeats() == [], "what was revoked repeats nothing"
