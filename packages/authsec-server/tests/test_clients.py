"""Onboarding and turning off, on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service
from authsec_server.clients.model import Client, ClientKind, Onboarding, Platform, ProofKind, Selector
from authsec_server.clients.store import clients, proofs
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from sqlalchemy import func, select

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PUBLIC = PrivateKey.generate_ed25519().public.to_pem().decode()
SEEN = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"), ("k8s:pod-label:app", "customer-support"))


def create(database: Database, act: Act, **what: Any) -> Client:
    values = {"name": "Customer Support", "platform": "kubernetes", "selectors": SEEN, **what}
    return database.change(lambda tx: service.create(tx, act, Onboarding(**values)))


def rows(tx: Tx) -> tuple[int, int]:
    return tuple(
        tx.connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (clients, proofs)
    )


def events(database: Database, act: Act) -> list[EventKind]:
    """What the audit log holds, oldest first."""
    return [each.event.kind for each in reversed(database.read(lambda tx: audit.page(tx, act.principal).items))]


def test_an_agent_is_onboarded_with_its_selectors(database: Database, act: Act) -> None:
    client = create(database, act)
    assert UUID(client.id).version == 4
    assert client.slug == "customer-support"
    assert client.owner == "local operator"
    assert client.enabled
    assert (client.kind, client.platform) == (ClientKind.AI_AGENT, Platform.KUBERNETES)
    (proof,) = client.proofs
    assert proof.kind is ProofKind.SELECTORS
    assert proof.selectors == tuple(Selector(key=key, value=value) for key, value in SEEN), "in the order given"
    for handle in (client.id, client.slug):
        assert database.read(lambda tx, handle=handle: service.get(tx, act, handle)) == client
    assert database.read(lambda tx: service.load(tx, client.id)) == client


def test_an_agent_is_onboarded_with_its_key(database: Database, act: Act) -> None:
    client = create(
        database,
        act,
        platform="key",
        selectors=(),
        public_key=PUBLIC,
        kind=ClientKind.MCP_SERVER,
        slug="crm",
        owner="Team CRM",
        description="Two\nlines",
        labels={"team": "crm", "cost": "42"},
    )
    assert client.proofs[0].public_key is not None
    assert client.proofs[0].thumbprint is not None
    assert database.read(lambda tx: service.load(tx, client.id)) == client


def test_an_unattested_agent_is_one_by_decision(database: Database, act: Act) -> None:
    client = create(database, act, platform="unattested", selectors=())
    assert [proof.kind for proof in client.proofs] == [ProofKind.UNATTESTED]
    assert database.read(lambda tx: service.load(tx, client.id)) == client


def test_the_audit_log_says_what_will_have_to_be_shown(database: Database, act: Act) -> None:
    client = create(database, act)
    (recorded,) = database.read(lambda tx: audit.page(tx, act.principal).items)
    assert recorded.event.kind is EventKind.CLIENT_CREATED
    assert recorded.event.client == Named(id=client.id, name="Customer Support")
    assert recorded.event.detail["platform"] == "kubernetes"
    assert recorded.event.detail["proofs"] == [
        {"kind": "selectors", "selectors": [list(pair) for pair in SEEN], "thumbprint": None}
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"selectors": (*SEEN, ("k8s:nss", "production"))}, "selectors.3"),
    ({"selectors": (*SEEN, ("k8s:pod-uid", "7"))}, "selectors.3"),
    ({"selectors": ()}, "selectors"),
    ({"platform": "k8s"}, "platform"),
    ({"platform": "key"}, "selectors"),
    ({"platform": "key", "selectors": ()}, "public_key"),
    ({"platform": "key", "selectors": (), "public_key": "\0"}, "public_key"),
    ({"public_key": PUBLIC}, "public_key"),
    ({"name": ""}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "\u202eagent"}, "name"),
    ({"name": "x" * 10_000}, "name"),
    ({"name": "顧客"}, "slug"),
    ({"slug": "Customer Support"}, "slug"),
    ({"slug": "a\0"}, "slug"),
    ({"slug": "6f1d2a34-0000-4000-8000-000000000001"}, "slug"),
    ({"owner": "\x1b[31m"}, "owner"),
    ({"owner": ""}, "owner"),
    ({"description": "\0"}, "description"),
    ({"description": "x" * 10_000}, "description"),
    ({"labels": {"Team": "x"}}, "labels"),
    ({"labels": {"team": "\0"}}, "labels.team"),
]


def test_what_is_refused_leaves_nothing_behind(database: Database, act: Act) -> None:
    for what, field in REFUSED:
        with pytest.raises(Invalid) as caught:
            create(database, act, **what)
        assert caught.value.field == field, what
    assert database.read(rows) == (0, 0)
    assert events(database, act) == []
    assert database.read(lambda tx: tx.version) == 0


def test_what_fails_late_leaves_nothing_behind_either(database: Database, act: Act) -> None:
    def create_then_fail(tx: Tx) -> None:
        service.create(tx, act, Onboarding(name="Customer Support", platform="kubernetes", selectors=SEEN))
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="disk"):
        database.change(create_then_fail)
    assert database.read(rows) == (0, 0)


def test_a_taken_slug_names_who_has_it(database: Database, act: Act) -> None:
    client = create(database, act)
    with pytest.raises(
        Conflict, match=f"The slug customer-support already belongs to 'Customer Support' \\({client.id}\\)"
    ):
        create(database, act, name="customer support")
    assert create(database, act, slug="customer-support-2").slug == "customer-support-2"


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_of_many_that_want_one_slug_exactly_one_gets_it(database: Database, act: Act) -> None:
    outcomes: list[object] = []

    def attempt() -> None:
        try:
            outcomes.append(create(database, act))
        except Conflict as conflict:
            outcomes.append(conflict)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Client) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert database.read(rows) == (1, 1)
    assert events(database, act) == [EventKind.CLIENT_CREATED]


def test_one_key_belongs_to_one_agent(database: Database, act: Act) -> None:
    create(database, act, platform="key", selectors=(), public_key=PUBLIC)
    with pytest.raises(Conflict, match="already belongs to 'Customer Support'"):
        create(database, act, name="Other", platform="key", selectors=(), public_key=PUBLIC)
    assert database.read(rows) == (1, 1)


def test_disabling_ends_tokens_each_time(database: Database, act: Act) -> None:
    client = create(database, act)
    for revision in (2, 3):
        disabled = database.change(lambda tx: service.disable(tx, act, client.slug))
        changed = {"revision": revision, "changed_at": NOW, "changed_by": "local operator"}
        assert disabled == replace(client, enabled=False, **changed)
    ended = database.read(lambda tx: revocations.since(tx, 0))
    assert [each.subject for each in ended] == [(SubjectKind.CLIENT, client.id)] * 2
    assert [each.version for each in ended] == [2, 3], "tokens decided under version 1 end, then those under 2"
    assert events(database, act) == [EventKind.CLIENT_CREATED, *[EventKind.CLIENT_DISABLED] * 2]
    assert database.read(lambda tx: service.load(tx, client.id)) == disabled


def test_enabling_revives_no_token(database: Database, act: Act) -> None:
    client = create(database, act)
    database.change(lambda tx: service.disable(tx, act, client.id))
    for _ in range(2):
        enabled = database.change(lambda tx: service.enable(tx, act, client.id))
        assert enabled == replace(client, revision=3, changed_at=NOW, changed_by="local operator")
    assert len(database.read(lambda tx: revocations.since(tx, 0))) == 1, "the ending stands"
    assert events(database, act)[2:] == [EventKind.CLIENT_ENABLED]


def test_a_viewer_only_reads(database: Database, act: Act) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    client = create(database, act)
    assert database.read(lambda tx: service.get(tx, viewer, client.id)) == client
    assert database.read(lambda tx: service.page(tx, viewer)) == ([client], None)
    with pytest.raises(NotPermitted):
        create(database, viewer, name="Other")
    for verb in (service.disable, service.enable):
        with pytest.raises(NotPermitted):
            database.change(lambda tx, verb=verb: verb(tx, viewer, client.id))


def test_an_unknown_client_is_not_found(database: Database, act: Act) -> None:
    for handle in ["nobody", "", "\0", "x" * 10_000, "6f1d2a34-0000-4000-8000-000000000001"]:
        for verb in (service.get, service.disable, service.enable):
            with pytest.raises(NotFound, match="There is no agent or MCP server"):
                database.change(lambda tx, verb=verb, handle=handle: verb(tx, act, handle))


def test_pages_hold_everything_once(database: Database, act: Act) -> None:
    made = {create(database, act, name=f"agent {number}").slug for number in range(5)}
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = database.read(lambda tx, after=after: service.page(tx, act, after=after, limit=2))
        seen += [client.slug for client in found]
        assert all(len(client.proofs) == 1 for client in found)
    assert seen == sorted(made)
