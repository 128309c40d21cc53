"""`verify` reads each table from its first row to its last, through no index, and sorts in a file of its own.

So a log of ten million events needs no more memory than a short one; `benchmarks/audit/long_log.py` measures such logs.
"""

from __future__ import annotations

import secrets
import sqlite3
import tracemalloc
from contextlib import closing
from datetime import timedelta

import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify, verify_log
from authsec_server.db import Database, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import text

SHORT, MORE = 2200, 2500  # events: more than any part of `verify` reads at once
ALLOWED = 20 * MORE  # octets: nothing is kept of each event, of each seal, or of each link to a delegation
EVENTS = """
INSERT INTO events (at, kind, request_id, client_id, client_name, delegations, roles, decision, reason, address,
    authority_version, jti, kid, token_sha256, expires_at, detail, occurrences)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {number})
SELECT e.at, e.kind, 'req_' || ({number} * 10000 + n) || '0000000000000000', 'c-' || n, 'Agent', e.delegations, e.roles,
    e.decision, e.reason, e.address, (SELECT max(authority_version) FROM events),
    ({number} * 10000 + n) || 'aaaaaaaaaaaaaaaaaaaaaaaa', e.kid, e.token_sha256,
    e.expires_at, e.detail, 1
FROM numbers CROSS JOIN events e WHERE e.jti = '00000000000000000000000000000000'
"""
LINKS = """
INSERT INTO event_delegations (delegation_id, event_id)
SELECT 'd-1', id FROM events WHERE id NOT IN (SELECT event_id FROM event_delegations)
    AND request_id LIKE 'req_2%'
"""
RANGES = "UPDATE number_ranges SET highest = (SELECT max(id) FROM events)"


def grow(database: Database, sealer: Sealer, number: int) -> None:
    """Record so many events as if each client had got a token, and seal them."""
    for statement in (EVENTS.format(number=number), LINKS, RANGES):
        database.append(lambda tx, statement=statement: tx.connection.execute(text(statement)))
    while sealer.seal():
        pass


def peak(database: Database, log: SealedLog, number: int) -> int:
    """The most octets that Python had during a check that found so many events as sealed."""
    tracemalloc.start()
    try:
        report = database.read(lambda tx: verify(tx, log.keys, now=LATER, counts=False, readers=False))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert (report.findings, report.sealed > number) == ((), True)


@pytest.mark.soak  # it measures memory
@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_the_memory_of_verify_does_not_grow_with_the_log(database: Database) -> None:
    log = fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    at = LATER + timedelta(minutes=20)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)
    grow(database, sealer, SHORT)
    before = peak(database, log, SHORT)
    grow(database, sealer, MORE)
    assert peak(database, log, SHORT + MORE) < before + ALLOWED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_row_that_an_index_hides_is_read(database: Database, database_url: str) -> None:
    log = fill(database)
    condition = " WHERE event_id != 1"
    spoil = (
        "INSERT INTO event_delegations (delegation_id, event_id) VALUES ('d-9', 1)",
        f"CREATE INDEX narrow ON event_delegations (event_id, delegation_id){condition}",
        "ANALYZE",
        "DELETE FROM sqlite_stat1 WHERE tbl = 'event_delegations'",
        "INSERT INTO sqlite_stat1 VALUES ('event_delegations', 'narrow', '9 1 1 sz=1')",
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_schema SET sql = replace(sql, '{condition}', '') WHERE name = 'narrow'",
    )
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as plain:
        for statement in spoil:
            plain.execute(statement)
    with closing(open_database(database_url)) as again:
        links = text("SELECT event_id, delegation_id FROM event_delegations")
        assert (1, "d-9") not in again.read(lambda tx: tx.connection.execute(links).all()), "the index hides the row"
        report = again.read(lambda tx: verify_log(tx, log.keys, now=LATER))
    assert "Event 1 is listed under the delegation d-9, which it does not name." in report.findings
