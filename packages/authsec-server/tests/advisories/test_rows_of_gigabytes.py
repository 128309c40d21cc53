"""Somebody inserts events of 100 MB each: what reads 500 rows at once exhausts the server's memory.

Readers ask for the sizes first. They read no row that is longer than a server writes, and of long rows a few at once.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import ANN, LATER, SealedLog, fill
from authsec_server.audit import export, unreadable_rows
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing import exporting
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

EACH = 8_000_000  # bytes of an event that no server writes
INSERT = (
    "INSERT INTO events (at, kind, request_id, client_id, client_name, delegations, roles, decision, reason, address,"
    " jti, kid, token_sha256, authority_version, detail, occurrences) SELECT at, kind, request_id, client_id,"
    " client_name, delegations, roles, decision, reason, address, jti, kid, token_sha256, authority_version, :detail, 1"
    " FROM events WHERE id = (SELECT min(id) FROM events WHERE jti = 'jti-of-token-20')"
)


@pytest.fixture
def log(database: Database) -> SealedLog:
    return fill(database)


def insert(database: Database, number: int, length: int) -> None:
    """So many events of a token, each with so long a detail, which is valid JSON of the form that is written."""
    detail = '{"actions":["a:b"],"x":"' + "x" * (length - 26) + '"}'
    for _ in range(number):
        database.append(lambda tx: tx.connection.execute(text(INSERT), {"detail": detail}) and None)


def peak(work: Callable[[], Any]) -> int:
    """The most memory that Python held for it, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def sealer(database: Database) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=bytes)
    return Sealer(
        database,
        issuer="https://a",
        signing_key=keys.signing_key,
        keys=keys.by_kid,
        now=lambda: LATER + timedelta(hours=1),
    )


READERS: dict[str, Callable[[Database], Any]] = {
    "the sealer": lambda database: sealer(database).seal(),
    "the roll-up": lambda database: roll_up(database, LATER + timedelta(hours=1)),
    "a list": lambda database: database.read(lambda tx: audit.page(tx, ANN, limit=200)),
    "an export": lambda database: [len(line) for line in export.json_lines(database, ANN)],
}


@pytest.mark.soak  # it measures memory; a list of such events is in every run
@pytest.mark.parametrize("reader", some_of(READERS))
def test_events_that_no_server_writes_cost_no_memory(database: Database, log: SealedLog, reader: str) -> None:
    insert(database, 10, EACH)
    assert peak(lambda: READERS[reader](database)) < 2 * EACH


def test_a_list_shows_them_as_unreadable(database: Database, log: SealedLog) -> None:
    insert(database, 2, EACH)
    newest = database.read(lambda tx: audit.page(tx, ANN, limit=3)).items
    unreadable = [each.event.kind is EventKind.EVENT_UNREADABLE for each in newest]
    assert unreadable == [True, True, False]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable_rows, "MOST_BYTES", 2000)
    return


def test_of_long_events_readers_hold_a_few_and_miss_none(database: Database, log: SealedLog, few_at_once: None) -> None:
    insert(database, 7, 1500)
    top = database.read(lambda tx: audit.page(tx, ANN, limit=201))
    numbers, cursor = [each.id for each in top.items], top.next
    while cursor is not None:
        page = database.read(lambda tx, before=cursor: audit.page(tx, ANN, before=before, limit=201))
        numbers += [each.id for each in page.items]
        cursor = page.next
    assert len(numbers) == len(set(numbers)) == len(log.covered) + 7
    assert len(top.items) == 1
    sealing = sealer(database)
    while sealing.seal():
        pass
    leaves = [line for line in exporting.export(database) if '"event":' in line]
    assert len(leaves) == len(numbers)
    assert len(list(export.json_lines(database, ANN))) == len(numbers)
