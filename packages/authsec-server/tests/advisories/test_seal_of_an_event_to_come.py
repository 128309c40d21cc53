"""Somebody inserts a seal for the next event number, or for an event that has no seal yet, far behind all other seals.

The event looks as if it had its seal. So the server never seals it and does not call it overdue, and its log does not
name it, while all other events get their seals. `verify` finds the planted seal as long as it is there. Hours later
somebody deletes the seal and the event, and `verify` finds nothing. On PostgreSQL, no event gets a number at or below a
sealed one, so the seal must be planted within the second in which the event is recorded.

Others move an old seal to the number of the event, and back: no checkpoint has the number of a seal. The place of the
old seal is older than the event.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from audit_answers import ANN, LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Keys
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from structlog.testing import capture_logs

pytestmark = pytest.mark.changes_rows_only

BEGUN, HOURS = LATER + timedelta(minutes=11), 3
PLANTED = (
    "INSERT INTO sealed_events SELECT 1000000000, max(id) + {}, hash FROM events, sealed_events GROUP BY hash LIMIT 1"
)
DELETED = (
    "DELETE FROM events WHERE id IN (SELECT event_id FROM sealed_events WHERE position = 1000000000)",
    "DELETE FROM sealed_events WHERE position = 1000000000",
)


def record(database: Database, at: datetime) -> int:
    event = replace(issued(1000 + (at - BEGUN) // timedelta(milliseconds=1), at=at), delegations=())
    return database.append(lambda tx: audit.record(tx, event))


def sealer_keys(database: Database) -> Keys:
    return SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes).by_kid()


def sealer_of(database: Database, now: Callable[[], datetime]) -> Sealer:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    return Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=now)


@pytest.mark.sqlite_suffices
def test_an_event_whose_number_has_a_planted_seal_is_not_lost_unseen(database: Database) -> None:
    log, now = fill(database), BEGUN
    sealer = sealer_of(database, lambda: now)
    if database.dialect == "sqlite":
        database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED.format(1)) and None)
    lost = record(database, now)
    if database.dialect == "postgresql":
        database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED.format(0)) and None)
    with capture_logs() as logs:
        for hours in range(1, HOURS):
            now = BEGUN + timedelta(hours=hours)
            record(database, now)
            while sealer.seal():
                pass
    for each in DELETED:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=now))
    assert report.last is not None
    assert report.last.at == now
    assert report.last.through >= lost
    assert logs or report.findings


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("place", ["(SELECT max(position) + 1 FROM sealed_events)", "-1"])
def test_planted_seals_keep_no_event_from_its_seal(database: Database, place: str) -> None:
    fill(database)
    now = BEGUN
    sealer = sealer_of(database, lambda: now)
    record(database, now)
    sealer.seal()
    now += timedelta(seconds=1)
    planted = f"INSERT INTO sealed_events SELECT {place}, max(id) + 1, hash FROM events, sealed_events GROUP BY hash"
    database.append(lambda tx: tx.connection.exec_driver_sql(f"{planted} LIMIT 1") and None)
    number = record(database, now)
    with capture_logs() as logs:
        while sealer.seal():
            pass
    assert database.read(lambda tx: store.places(tx.connection, [number]))[number] > 0
    assert [line["seals"] for line in logs if "no checkpoint covers" in line["event"]] == [1]
    report = database.check(lambda tx: verify(tx, sealer_keys(database), now=now))
    assert not report.findings


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("in_search", [False, True])
def test_an_event_whose_number_an_old_seal_gets_is_named(database: Database, in_search: bool) -> None:
    fill(database)
    now = BEGUN
    sealer = sealer_of(database, lambda: now)
    for minutes in range(12):
        now = BEGUN + timedelta(minutes=minutes)
        record(database, now)
        while sealer.seal():
            pass
    now += timedelta(seconds=11 if in_search else 1)
    numbers = [record(database, now), record(database, now + timedelta(milliseconds=1))]
    moved = f"UPDATE sealed_events SET event_id = {numbers[0]} WHERE position = 5"
    database.append(lambda tx: tx.connection.exec_driver_sql(moved) and None)
    with capture_logs() as logs:
        while sealer.seal():
            pass
    assert [line["number"] for line in logs if "is not sealed" in line["event"]] == numbers[:1]
    assert database.read(lambda tx: store.is_sealed(tx.connection, numbers[1]))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_old_seals_of_one_number_end_neither_sealing_nor_an_answer(database: Database) -> None:
    fill(database)
    now = BEGUN
    sealer = sealer_of(database, lambda: now)
    sealer.seal()
    now += timedelta(seconds=1)
    number, other = record(database, now), record(database, now + timedelta(milliseconds=1))
    for each in (
        "ALTER TABLE sealed_events DROP CONSTRAINT uq_sealed_events_event_id",
        f"UPDATE sealed_events SET event_id = {number} WHERE position IN (5, 6)",
    ):
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    while sealer.seal():
        pass
    assert database.read(lambda tx: store.is_sealed(tx.connection, other))
    (event,) = database.read(lambda tx: audit.of_request(tx, ANN, "req_000000000000000000002000"))[:1]
    assert event.id == number


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_seals_that_cannot_be_deleted_do_not_keep_the_sealer_busy(database: Database) -> None:
    fill(database)
    now = BEGUN
    sealer = sealer_of(database, lambda: now)
    sealer.seal()
    planted = "SELECT 1000000 + i, 1000000 + i, '' FROM generate_series(1, 20) i"
    for each in (
        "CREATE RULE kept AS ON DELETE TO sealed_events DO INSTEAD NOTHING",
        f"INSERT INTO sealed_events (position, event_id, hash) {planted}",
    ):
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    now += timedelta(seconds=1)
    number = record(database, now)
    with capture_logs() as logs:
        assert [sealer.seal() for _ in range(5)][-1] is False
    assert len(logs) == 1
    assert database.read(lambda tx: store.is_sealed(tx.connection, number))


def test_an_event_with_a_seal_before_the_first_one_comes_last(database: Database) -> None:
    fill(database)
    genuine = database.read(lambda tx: audit.of_request(tx, ANN, "req_000000000000000000000004"))
    forged = database.append(lambda tx: audit.record(tx, replace(issued(4, at=BEGUN), delegations=())))
    planted = f"INSERT INTO sealed_events SELECT -1, {forged}, hash FROM sealed_events WHERE position = 0"
    database.append(lambda tx: tx.connection.exec_driver_sql(planted) and None)
    found = database.read(lambda tx: audit.of_request(tx, ANN, "req_000000000000000000000004"))
    assert [each.id for each in found] == [*(each.id for each in genuine), forged]
