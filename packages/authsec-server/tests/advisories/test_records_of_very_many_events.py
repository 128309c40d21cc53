"""Somebody inserts very many events of the kinds that carry signed records: nobody can verify or seal any more.

The server once read all of them at once, each second, and named all their numbers in one statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import service, store
from authsec_server.audit.sealing.restores import restores_in
from authsec_server.audit.sealing.verifying import keys_of, verify_log
from authsec_server.db import Database
from authsec_server.db.schema import canonical_json
from sqlalchemy import event as events_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

KINDS = [EventKind.SEAL_KEY_REPLACED, EventKind.AUTHORITY_RESTORED, EventKind.EVENTS_DROPPED]
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "without a record": {},
    "with a record that nobody signed": {"record": "e30.e30.AAAA"},
    "with a record that is a number": {"record": 5},
}
MORE_THAN_A_STATEMENT_NAMES = 35_000  # on SQLite; twice as many on PostgreSQL
PLANTED = (
    "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {number}) INSERT INTO events (at, kind,"
    " request_id, delegations, roles, reason, address, authority_version, jti, kid, token_sha256, detail, occurrences)"
    " SELECT e.at, :kind, '', '[]', '[]', '', '', 1, '', '', '', :detail, 1 FROM g CROSS JOIN events e WHERE e.id = 1"
)


def plant(database: Database, kind: EventKind, detail: Mapping[str, Any], number: int) -> None:
    values = {"kind": kind.value, "detail": canonical_json(detail)}
    database.append(lambda tx: tx.connection.execute(text(PLANTED.format(number=number)), values))


@pytest.fixture
def log(database: Database) -> SealedLog:
    return fill(database)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (KINDS[0], 5000),
        pytest.param(KINDS[0], MORE_THAN_A_STATEMENT_NAMES, marks=pytest.mark.soak),
        pytest.param(KINDS[0], 2 * MORE_THAN_A_STATEMENT_NAMES, marks=pytest.mark.soak),
        *(pytest.param(kind, 5000, marks=pytest.mark.soak) for kind in KINDS[1:]),
    ],
)
def test_very_many_are_no_trouble(database: Database, log: SealedLog, kind: EventKind, number: int) -> None:
    plant(database, kind, {}, number)
    assert database.read(lambda tx: keys_of(tx, log.keys)) == log.keys
    assert database.read(lambda tx: restores_in(tx.connection, log.keys)) == []
    assert database.read(lambda tx: service.present_key(tx, log.keys)) in log.keys
    assert (
        database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER, counts=False)).last is not None
    )


@pytest.mark.parametrize("detail", DETAILS.values(), ids=DETAILS)
def test_few_are_read_at_once(database: Database, log: SealedLog, detail: Mapping[str, Any]) -> None:
    plant(database, EventKind.SEAL_KEY_REPLACED, detail, 2000)
    named: list[int] = []

    def count(_: Any, __: Any, ___: Any, parameters: Any, *____: Any) -> None:
        named.append(len(parameters))

    def look(tx: Any) -> None:
        events_of.listen(tx.connection, "before_cursor_execute", count)
        assert store.succession_in(tx.connection, log.keys).after == {}
        events_of.remove(tx.connection, "before_cursor_execute", count)

    database.read(look)
    assert max(named) <= store.AT_ONCE


def test_a_key_can_be_replaced_all_the_same(database: Database, log: SealedLog) -> None:
    plant(database, EventKind.SEAL_KEY_REPLACED, {"record": "e30.e30.AAAA"}, 1)
    assert database.read(lambda tx: service.present_key(tx, log.keys)) in log.keys
