"""Editing a client, ending its tokens, many at once, deleting it; on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.clients import service
from authsec_server.clients.model import Client, Onboarding
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted, Outdated
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Revocation, SubjectKind

pytestmark = pytest.mark.sqlite_suffices


def onboard(database: Database, act: Act, name: str = "Customer Support", **what: Any) -> Client:
    wanted = Onboarding(name=name, platform="unattested", **what)
    return database.change(lambda tx: service.create(tx, act, wanted))


def edit(database: Database, act: Act, client: Client, **what: Any) -> Client:
    return database.change(lambda tx: service.edit(tx, act, client.id, revision=client.revision, changes=dict(**what)))


def stored(database: Database, client: Client) -> Client | None:
    return database.read(lambda tx: service.load(tx, client.id))


def audit_log(database: Database, act: Act) -> list[Event]:
    """What the audit log holds, oldest first."""
    return [each.event for each in reversed(database.read(lambda tx: audit.page(tx, act.principal, limit=201).items))]


def ended(database: Database) -> list[Revocation]:
    return database.read(lambda tx: revocations.since(tx, 0))


def by(act: Act, name: str) -> Act:
    return replace(act, principal=replace(act.principal, name=name))


def test_an_edit_changes_what_it_names_and_nothing_else(database: Database, act: Act) -> None:
    client = onboard(database, act, description="Answers", labels={"team": "crm", "env": "prod"})
    edited = edit(database, by(act, "Ada"), client, name=" Support ", owner="Team CRM", labels={"team": "support"})
    assert edited == replace(
        client,
        name="Support",
        owner="Team CRM",
        labels={"team": "support"},
        revision=2,
        changed_at=act.now,
        changed_by="Ada",
    )
    assert stored(database, client) == edited
    assert edited.slug == "customer-support", "it does not follow the name: scripts use it"
    event = audit_log(database, act)[-1]
    assert (event.kind, event.client) == (EventKind.CLIENT_EDITED, Named(id=client.id, name="Support"))
    assert event.detail == {
        "revision": 2,
        "before": {"name": "Customer Support", "owner": "local operator", "labels": {"team": "crm", "env": "prod"}},
        "after": {"name": "Support", "owner": "Team CRM", "labels": {"team": "support"}},
    }
    assert ended(database) == [], "who it is and what it may do is as it was"


def test_what_can_be_emptied_can_be(database: Database, act: Act) -> None:
    client = onboard(database, act, description="Answers", labels={"team": "crm"})
    edited = edit(database, act, client, description="", labels={})
    assert (edited.description, edited.labels) == ("", {})
    assert stored(database, client) == edited


def test_an_edit_that_changes_nothing_writes_nothing(database: Database, act: Act) -> None:
    client = onboard(database, act, labels={"team": "crm"})
    same = {"name": f" {client.name}", "owner": client.owner, "slug": client.slug, "labels": {"team": "crm"}}
    for what in ({}, same):
        assert edit(database, act, client, **what) == client
    assert stored(database, client) == client
    assert [event.kind for event in audit_log(database, act)] == [EventKind.CLIENT_CREATED]


def test_a_new_slug_leads_to_the_same_client(database: Database, act: Act) -> None:
    client = onboard(database, act)
    edited = edit(database, act, client, slug="support")
    assert edited.id == client.id
    assert database.read(lambda tx: service.get(tx, act, "support")) == edited
    with pytest.raises(NotFound):
        database.read(lambda tx: service.get(tx, act, "customer-support"))
    assert audit_log(database, act)[-1].detail["before"] == {"slug": "customer-support"}
    assert onboard(database, act).slug == "customer-support", "free again"


def test_a_taken_slug_names_who_has_it(database: Database, act: Act) -> None:
    onboard(database, act, name="Other")
    client = onboard(database, act)
    with pytest.raises(Conflict, match="The slug other already belongs to 'Other'"):
        edit(database, act, client, slug="other")
    assert stored(database, client) == client


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "\u202eagent"}, "name"),
        ({"owner": ""}, "owner"),
        ({"slug": "Customer Support"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"description": "\0"}, "description"),
        ({"labels": {"Team": "x"}}, "labels"),
        ({"labels": {"team": ""}}, "labels.team"),
    ],
)
def test_an_edit_obeys_the_rules_of_onboarding(database: Database, act: Act, what: dict[str, Any], field: str) -> None:
    client = onboard(database, act)
    with pytest.raises(Invalid) as caught:
        edit(database, act, client, **what)
    assert caught.value.field == field
    assert stored(database, client) == client


def test_the_second_of_two_editors_is_told_of_the_first(database: Database, act: Act) -> None:
    client = onboard(database, act)
    edit(database, by(act, "Ada"), client, owner="Team CRM")
    with pytest.raises(Outdated, match="was changed meanwhile by Ada") as caught:
        edit(database, by(act, "Ben"), client, description="Mine")
    assert (caught.value.by, caught.value.at) == ("Ada", act.now)


def test_every_change_counts(database: Database, act: Act) -> None:
    client = onboard(database, act)
    for number, verb in enumerate((service.revoke_tokens, service.disable, service.enable), start=2):
        changed = database.change(lambda tx, verb=verb: verb(tx, act, client.slug))
        assert changed.revision == number
        assert stored(database, client) == changed
    with pytest.raises(Outdated):
        edit(database, act, client, name="Other")


def test_revoking_tokens_ends_them_and_leaves_the_client_on(database: Database, act: Act) -> None:
    client = onboard(database, act)
    for number in (1, 2):
        revoked = database.change(lambda tx: service.revoke_tokens(tx, act, client.id))
        assert revoked.enabled
        assert len(ended(database)) == number, "each time anew: there may be new ones"
    assert {(each.subject_kind, each.subject_id) for each in ended(database)} == {(SubjectKind.CLIENT, client.id)}
    assert [each.version for each in ended(database)] == [2, 3]
    assert [event.kind for event in audit_log(database, act)[1:]] == [EventKind.CLIENT_TOKENS_REVOKED] * 2


def test_many_are_disabled_in_one_change(database: Database, act: Act) -> None:
    held = [onboard(database, act, name=f"agent {number}") for number in range(4)]
    database.change(lambda tx: service.disable(tx, act, held[3].id))
    unknown = ["6f1d2a34-0000-4000-8000-000000000001", "agent-1", "\0", ""]
    wanted = [held[2].id, held[0].id, *unknown, held[3].id, held[2].id]
    before = database.read(lambda tx: tx.version)
    outcome = database.change(lambda tx: service.disable_many(tx, by(act, "Ada"), wanted))
    assert outcome == service.BulkDisabled(
        disabled=(Named(id=held[2].id, name="agent 2"), Named(id=held[0].id, name="agent 0")),
        already=(Named(id=held[3].id, name="agent 3"),),
        unknown=tuple(unknown),
    )
    assert database.read(lambda tx: tx.version) == before + 1
    assert [each.subject_id for each in ended(database)[1:]] == [held[2].id, held[0].id, held[3].id]
    events = audit_log(database, act)[-3:]
    assert [(event.kind, event.client, bool(event.detail.get("already"))) for event in events] == [
        *((EventKind.CLIENT_DISABLED, named, False) for named in outcome.disabled),
        *((EventKind.CLIENT_DISABLED, named, True) for named in outcome.already),
    ]
    assert stored(database, held[0]) == replace(
        held[0], enabled=False, revision=2, changed_at=act.now, changed_by="Ada"
    )
    assert stored(database, held[1]) == held[1]


def test_too_many_or_none_are_refused(database: Database, act: Act) -> None:
    onboard(database, act)
    for ids in ([], [f"{number}" for number in range(service.MAX_AT_ONCE + 1)]):
        with pytest.raises(Invalid, match=f"{len(ids)} clients are selected") as caught:
            database.change(lambda tx, ids=ids: service.disable_many(tx, act, ids))
        assert caught.value.remedy == "Select 1 to 200."


def test_a_deleted_client_leaves_its_record_and_the_end_of_its_tokens(database: Database, act: Act) -> None:
    client = onboard(database, act, labels={"team": "crm"})
    gone = (Named(id="6f1d2a34-0000-4000-8000-000000000001", name="Support for Customer Support"),)
    database.change(lambda tx: service.delete(tx, act, client, delegations=gone))
    assert stored(database, client) is None
    (revocation,) = ended(database)
    assert (revocation.subject_kind, revocation.subject_id, revocation.version) == (SubjectKind.CLIENT, client.id, 2)
    event = audit_log(database, act)[-1]
    assert (event.kind, event.client, event.delegations) == (
        EventKind.CLIENT_DELETED,
        Named(id=client.id, name="Customer Support"),
        gone,
    )
    assert event.detail == {
        "name": "Customer Support",
        "slug": "customer-support",
        "owner": "local operator",
        "description": "",
        "labels": {"team": "crm"},
        "kind": "ai_agent",
        "platform": "unattested",
        "proofs": [{"kind": "unattested", "selectors": [], "thumbprint": None}],
    }


def test_a_viewer_changes_nothing(database: Database, act: Act) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    client = onboard(database, act)
    for attempt in (
        lambda tx: service.edit(tx, viewer, client.id, revision=1, changes={"name": "Other"}),
        lambda tx: service.revoke_tokens(tx, viewer, client.id),
        lambda tx: service.disable_many(tx, viewer, [client.id]),
        lambda tx: service.delete(tx, viewer, client),
    ):
        with pytest.raises(NotPermitted):
            database.change(attempt)
    assert stored(database, client) == client
