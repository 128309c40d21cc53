"""Somebody inserts many events of a megabyte, with one request id or among the newest.

A list reads as many events as fit into memory. Other readers must measure their rows as well: the page of a request has
up to 201 events, `audit follow` 200, and the live audit log 500, with three megabytes each.
"""

from __future__ import annotations

import secrets
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import ANN, LATER, fill
from authsec_server.audit import pages, unreadable_rows
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.unreadable_rows import MOST_BYTES
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

LONG = 40
AT = LATER + timedelta(minutes=11)
INSERT = """
INSERT INTO events (id, at, kind, request_id, delegations, roles, decision, reason, address, jti, kid, token_sha256,
    detail, occurrences, authority_version)
VALUES ({number}, '{at}', 'token.refused', 'req_00000000000000000000long', '[]', '[]', 'denied', 'x', '', '', '', '',
    '{detail}', 1, 1)
"""
NUMBER = {"sqlite": "(SELECT max(id) + 1 FROM events)", "postgresql": "nextval('events_id_seq')"}
ZONE = {"sqlite": "", "postgresql": "+00"}
READERS: dict[str, Callable[[Tx], Any]] = {
    "the events of a request": lambda tx: audit.of_request(tx, ANN, "req_00000000000000000000long"),
    "the live audit log": lambda tx: pages.above(tx.connection, 0, 500),
    "audit follow": lambda tx: pages.by_ids(tx.connection, range(1000)),
}


def plant(tx: Tx, count: int = LONG, length: int = 1_000_000) -> None:
    dialect, detail = tx.connection.dialect.name, f'{{"x":"{"a" * length}"}}'
    for each in range(count):
        at = f"{AT + timedelta(microseconds=each + 1):%Y-%m-%d %H:%M:%S.%f}{ZONE[dialect]}"
        tx.connection.exec_driver_sql(INSERT.format(number=NUMBER[dialect], at=at, detail=detail))


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("reads", READERS.values(), ids=READERS)
def test_long_events_fill_no_memory(
    database: Database, reads: Callable[[Tx], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an eighth of the memory, and events of an eighth of the length."""
    monkeypatch.setattr(unreadable_rows, "MOST_BYTES", MOST_BYTES // 8)
    fill(database)
    database.append(lambda tx: plant(tx, length=125_000))
    tracemalloc.start()
    try:
        database.read(reads)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST_BYTES // 8
    finally:
        tracemalloc.stop()


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@pytest.mark.asks_readers
def test_followers_get_all_of_them_and_verify_finds_each_answer_right(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(database)
    monkeypatch.setattr("authsec_server.audit.unreadable_rows.MOST_BYTES", 2**20)  # a sixteenth
    database.append(lambda tx: plant(tx, 20, 62_500))  # more than fit together
    keys, later = (
        SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes),
        AT + timedelta(minutes=6),
    )
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=later))
    assert report.findings == ()
    places, after = list[int](), -1
    while events := database.read(lambda tx, after=after: sealing.following(tx, ANN, after=after, limit=200)).events:
        places += [each.seal.place for each in events if each.seal]
        after = places[-1]
    assert places == list(range(report.sealed))
