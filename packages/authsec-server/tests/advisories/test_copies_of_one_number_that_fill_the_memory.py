"""Somebody inserts very many long events with one number on PostgreSQL, the last of which is short.

A reader of events measures its rows first, and reads as many as fit into memory. With one size for each number, it
would measure only the last of several events. The sealer, the roll-up and `verify` would then hold all copies: a
gigabyte for each three hundred, which take a few megabytes on PostgreSQL's disk.
"""

from __future__ import annotations

import secrets
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import pytest
from audit_answers import ANN, LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit import unreadable_rows
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

MOST_BYTES = unreadable_rows.MOST_BYTES // 8
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
AT = LATER + timedelta(minutes=11)
INSERT = """
WITH its AS MATERIALIZED (SELECT nextval('events_id_seq') AS number)
INSERT INTO events (id, at, kind, request_id, delegations, roles, decision, reason, address, jti, kid, token_sha256,
    detail, occurrences)
SELECT number, timestamptz '{at}' + i * interval '1 millisecond', '{kind}', '', '[]', '[]', 'denied', 'x', '', '', '',
    '', '{{"record":"' || CASE WHEN i = {copies} THEN '' ELSE repeat('a', 250000) END || '"}}', 1
FROM its, generate_series(1, {copies}) i
"""


def sealed(database: Database) -> None:
    keys, later = (
        SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes),
        AT + timedelta(minutes=1),
    )
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass


def counted(database: Database) -> None:
    roll_up(database, AT + timedelta(minutes=10))


def verified(database: Database) -> None:
    database.check(lambda tx: verify(tx, {}, now=AT + timedelta(minutes=1)))


READERS = {
    "the sealer": (sealed, "token.refused", 10, 10),  # of more copies, it reads none
    "the roll-up": (counted, "token.refused", 60, 1),
    "verify": (verified, "events.dropped", 60, 1),
}


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers hold an eighth of what they usually hold. An event has a quarter of a megabyte."""
    monkeypatch.setattr(unreadable_rows, "MOST_BYTES", MOST_BYTES)


@pytest.mark.soak
@pytest.mark.parametrize(("reads", "kind", "copies", "numbers"), READERS.values(), ids=READERS)
def test_copies_of_a_number_fill_no_memory(
    database: Database, reads: Callable[[Database], None], kind: str, copies: int, numbers: int
) -> None:
    fill(database)
    for _ in range(numbers):
        statement = INSERT.format(at=AT.isoformat(), kind=kind, copies=copies)
        database.append(lambda tx, statement=statement: tx.connection.exec_driver_sql(statement) and None)
    tracemalloc.start()
    try:
        reads(database)
        assert tracemalloc.get_traced_memory()[1] < 6 * MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.soak
def test_copies_of_a_number_fill_no_memory_beside_an_unreadable_event(database: Database) -> None:
    fill(database)
    copies = INSERT.format(at=AT.isoformat(), kind="token.refused", copies=200)
    database.append(lambda tx: tx.connection.exec_driver_sql(copies) and None)
    number = database.append(lambda tx: audit.record(tx, issued(70, at=AT)))
    unreadable = f"UPDATE events SET expires_at = 'infinity' WHERE id = {number}"
    database.append(lambda tx: tx.connection.exec_driver_sql(unreadable) and None)
    tracemalloc.start()
    try:
        found = database.read(lambda tx: audit.page(tx, ANN, limit=50)).items
        assert tracemalloc.get_traced_memory()[1] < 6 * MOST_BYTES
    finally:
        tracemalloc.stop()
    assert len(found) <= 50
