"""Raw SQL marks a row as revoked, AND inserts an event that says so, until an operator has revoked the thing.

If the operation believed the event, it would succeed and record nothing. The event has a number that is never sealed,
so raw SQL can delete it later without a trace. An event of an API's credential might even be sealed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.audit.model import EventKind, Named
from authsec_server.audit.store import event_delegations, events
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, ResolvedDelegation, Terms
from authsec_server.tokens import revocation
from sqlalchemy import delete, insert, select

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.changes_rows_only]

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
NEVER_SEALED = 2**53 + 5


def delegated(year: Year) -> ResolvedDelegation:
    asked = {"target_type": "AutoGen AI agent", "max_duration": 60, "actions": ("customers:read",)}
    proposal = Proposal(role="support", client="helper", slug="first", **asked)
    resolved = year.database.change(lambda tx: delegations.create(tx, year.act, proposal, TERMS))
    year.issue(delegations=(Named(id=resolved.delegation.id, name="D"),), roles=(Named(id=resolved.role.id, name="R"),))
    year.settle()
    return resolved


def insert_event(year: Year, like: Any, number: int, its: Mapping[str, Any]) -> None:
    """Insert a copy of an event, with other values."""

    def work(tx: Tx) -> None:
        row = tx.connection.execute(select(events).where(like)).first()
        assert row is not None
        tx.connection.execute(insert(events).values(row._asdict() | {"id": number, "at": year.at} | its))
        for each in row.delegations:
            tx.connection.execute(insert(event_delegations).values(delegation_id=each["id"], event_id=number))

    year.database.append(work)


@contextmanager
def said(year: Year, like: Any, kind: EventKind) -> Iterator[None]:
    """Within this context, an event without a seal says that the thing was revoked."""
    insert_event(year, like, NEVER_SEALED, {"kind": kind, "decision": None, "expires_at": None, "detail": {}})
    yield
    for table, column in ((event_delegations, "event_id"), (events, "id")):
        statement = delete(table).where(table.c[column] == NEVER_SEALED)
        year.database.append(lambda tx, statement=statement: tx.connection.execute(statement))
    year.run("UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM events) WHERE name = 'events'")


def acts(database: Database, kind: EventKind) -> int:
    return database.read(lambda tx: len(tx.connection.execute(select(events.c.id).where(events.c.kind == kind)).all()))


def test_a_delegation(database: Database) -> None:
    year = Year(database)
    its = delegated(year).delegation
    with said(year, events.c.kind == EventKind.DELEGATION_CREATED, EventKind.DELEGATION_REVOKED):
        year.run("UPDATE delegations SET revoked_at = (SELECT max(at) FROM events)")
        year.do(lambda tx, act: delegations.revoke(tx, act, "first", TERMS))
        year.run("UPDATE delegations SET revoked_at = NULL")
    year.settle()
    assert acts(database, EventKind.DELEGATION_REVOKED) == 1
    assert f"the delegation {its.id} was revoked, but the row in delegations is not" in "".join(year.report().findings)


def test_a_token(database: Database) -> None:
    year = Year(database)
    delegated(year)
    with said(year, events.c.jti == JTI, EventKind.TOKEN_REVOKED):
        year.run(
            "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at)"
            f" SELECT 1000, 'token', '{JTI}', version + 1, (SELECT max(at) FROM events) FROM authority"
        )
        assert year.database.change(lambda tx: revocation.revoke(tx, year.act, JTI)).already
        year.run("DELETE FROM revocations WHERE sequence = 1000")
    year.settle()
    assert acts(database, EventKind.TOKEN_REVOKED) == 1


@pytest.mark.parametrize("is_undone", [False, True])
def test_an_event_that_says_that_a_credential_was_revoked_is_found(database: Database, is_undone: bool) -> None:
    """The event is sealed. Its row is live, or an operator revokes the credential and raw SQL undoes the change."""
    year = Year(database)
    year.do(lambda tx, act: apis.create(tx, act, name="Billing", identifier="https://billing.example"))
    made = year.database.change(lambda tx: credentials.create(tx, year.act, "billing", name="old"))[0]
    year.settle()
    assert year.report().findings == ()
    if is_undone:
        year.run("UPDATE api_credentials SET revoked_at = (SELECT max(at) FROM events)")
        year.do(lambda tx, act: credentials.revoke(tx, act, "billing", "old"))
        year.run("UPDATE api_credentials SET revoked_at = NULL")
        assert acts(database, EventKind.API_CREDENTIAL_REVOKED) == 1
    else:
        number = database.read(lambda tx: tx.connection.exec_driver_sql("SELECT max(id) + 1 FROM events").scalar_one())
        its = {"kind": EventKind.API_CREDENTIAL_REVOKED, "detail": {"credential": made.id, "called": "old"}}
        insert_event(year, events.c.kind == EventKind.API_CREDENTIAL_CREATED, number, its)
    year.settle()
    told = "".join(year.report().findings)
    assert f"the API credential {made.id} was revoked, but the row in api_credentials is not" in told
