"""Somebody adds a trigger to an SQLite file, which rewrites or deletes events, and removes the trigger again.

Servers compare the number of changed rows when they insert an event. Two other statements write to events as well: the
one that adds the digests to the event of a change, and the one that counts a refusal. A trigger on either is not
noticed. It can rewrite the event of the change, and delete each event that the same transaction has inserted before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import event_batches, refusal_counts
from authsec_server.audit.event_batches import EventTemplate, TokenEvent
from authsec_server.audit.model import Event, EventKind, Refusal, Tally
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.failures import Unavailable
from sealed_estate import sealed_estate

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
AT = LATER + timedelta(minutes=12)
REFUSAL = Refusal(kind=EventKind.TOKEN_REFUSED, reason="unknown_client", address="192.0.2.1")
REFUSALS = {REFUSAL: Tally(count=1, request_id="req_000000000000000000000001")}
ADDED_DIGESTS = "AFTER UPDATE ON events BEGIN UPDATE events SET principal_name = 'bob' WHERE id = new.id; END"
DELETED_REFUSAL = (
    "AFTER INSERT ON events WHEN new.count_key IS NOT NULL BEGIN DELETE FROM events WHERE id = new.id; END"
)
DELETED_TOKEN = (
    "AFTER INSERT ON events WHEN new.count_key IS NOT NULL"
    " BEGIN DELETE FROM events WHERE kind = 'token.issued' AND jti = '00000000000000000000000000000070'; END"
)


@contextmanager
def trigger(database: Database, what: str) -> Iterator[None]:
    database.append(lambda tx: tx.connection.exec_driver_sql(f"CREATE TRIGGER forging {what}") and None)
    try:
        yield
    finally:
        database.append(lambda tx: tx.connection.exec_driver_sql("DROP TRIGGER forging") and None)


def token_event(event: Event) -> TokenEvent:
    names = ("at", "request_id", "address", "jti", "kid", "token_sha256", "expires_at", "authority_version")
    return TokenEvent(template=EventTemplate.of(event), **{name: getattr(event, name) for name in names})


def number_of(database: Database, condition: str) -> int:
    statement = f"SELECT count(*) FROM events WHERE {condition}"
    return database.read(lambda tx: tx.connection.exec_driver_sql(statement).scalar_one())


def test_a_trigger_does_not_rewrite_the_event_of_a_change(estate: Any) -> None:
    sealed_estate(estate)
    with trigger(estate.database, ADDED_DIGESTS), pytest.raises(Unavailable, match="trigger"):
        estate.do(lambda tx, act: delegations.revoke(tx, act, "first", estate.terms))


def test_a_trigger_does_not_delete_a_counted_refusal(database: Database) -> None:
    fill(database)
    before = number_of(database, "count_key IS NOT NULL")
    with trigger(database, DELETED_REFUSAL), pytest.raises(Unavailable, match="trigger"):
        database.append(lambda tx: refusal_counts.count(tx.connection, REFUSALS, AT, tx.event_key))
    assert number_of(database, "count_key IS NOT NULL") == before


def test_a_trigger_on_a_counted_refusal_does_not_delete_a_token_of_the_same_transaction(database: Database) -> None:
    fill(database)

    def record(tx: Tx) -> None:
        event_batches.add_all(tx.connection, [token_event(replace(issued(70, at=AT), delegations=()))], tx.event_key)
        refusal_counts.count(tx.connection, REFUSALS, AT.replace(second=0), tx.event_key)

    with trigger(database, DELETED_TOKEN), pytest.raises(Unavailable, match="trigger"):
        database.record(record)
