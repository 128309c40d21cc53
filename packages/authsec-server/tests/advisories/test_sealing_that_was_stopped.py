"""Somebody who writes to the database stops the sealing, and has everything say that nothing waits for its seal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.app.readiness_probe import Clocks, sealing_stopped
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import overdue, store
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.principal import LOCAL_OPERATOR
from sqlalchemy import event, insert, select

pytestmark = pytest.mark.sqlite_suffices

AN_HOUR_LATER = LATER + timedelta(hours=1)


def _seal_a_huge_number(tx: Tx) -> None:
    row = tx.connection.execute(select(events).where(events.c.kind == "role.created").limit(1)).one()._asdict()
    tx.connection.execute(insert(events).values(row | {"id": 2**53 - 2, "at": LATER}))
    seal = {"position": store.size(tx.connection), "event_id": 2**53 - 2, "hash": bytes(32)}
    tx.connection.execute(insert(sealed_events).values(seal))


def test_events_that_wait_are_seen_below_a_huge_number_that_is_sealed(database: Database) -> None:
    fill(database)
    database.append(_seal_a_huge_number)
    database.append(partial(audit.record, event=issued(100, at=LATER + timedelta(minutes=1))))
    assert database.read(lambda tx: overdue.waits(tx.connection, since=AN_HOUR_LATER - timedelta(minutes=10)))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_search_for_waiting_events_reads_only_events_above_the_last_seal(database: Database) -> None:
    """The dashboard asks on each visit. SQLite read all events by their time instead."""
    fill(database)
    plans: list[str] = []

    def search(tx: Tx) -> None:
        @event.listens_for(tx.connection, "before_cursor_execute")
        def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_others: Any) -> None:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append(cursor.fetchone()[3])

        overdue.waits(tx.connection, since=AN_HOUR_LATER)

    database.read(search)
    assert plans[0] == "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"


def test_verify_says_since_when_events_wait(database: Database) -> None:
    log = fill(database)
    at = LATER + timedelta(minutes=1)
    database.append(partial(audit.record, event=issued(100, at=at)))
    told = [
        database.read(lambda tx, now=now: verify_log(tx, log.keys, [log.checkpoint], now=now)).waiting_since
        for now in (at + timedelta(minutes=9), AN_HOUR_LATER)
    ]
    assert told == [None, at]


def test_readyz_notes_that_no_checkpoint_is_signed() -> None:
    clocks = partial(Clocks, database=None, last_checkpoint=LATER)
    fine, late = LATER + timedelta(minutes=9), AN_HOUR_LATER
    assert sealing_stopped(clocks(before=fine, after=fine)) == {}
    assert "1:00:00" in sealing_stopped(clocks(before=late, after=late))["sealing"]


def _skipped(database: Database, log: SealedLog, now: datetime) -> str:
    return "\n".join(database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=now)).skipped)


def _record(database: Database, number: int, *, minutes: int) -> None:
    database.append(partial(audit.record, event=issued(number, at=LATER + timedelta(minutes=minutes))))


def test_verify_is_not_content_where_a_running_server_seals_nothing(database: Database) -> None:
    log = fill(database)  # sealed at ten minutes
    _record(database, 100, minutes=11)
    _record(database, 101, minutes=20)
    assert _skipped(database, log, AN_HOUR_LATER) == ""  # a server that was stopped by then could look like that
    _record(database, 102, minutes=22)
    told = _skipped(database, log, AN_HOUR_LATER)
    assert "Events have been waiting for their seal since 2026-11-25 15:11:00 UTC, although a server was" in told
    assert "2026-11-25 15:22:00 UTC" in told


def test_verify_is_not_content_where_a_checkpoint_leaves_out_an_event_of_long_before_it(database: Database) -> None:
    log = fill(database)
    _record(database, 100, minutes=-10)
    assert "a server was running at 2026-11-25 15:10:00 UTC" in _skipped(database, log, AN_HOUR_LATER)
    assert _skipped(database, log, LATER + timedelta(minutes=10, seconds=30)) == ""  # the server is about to seal it


def test_a_server_that_starts_after_a_night_may_be_about_to_seal(database: Database) -> None:
    log = fill(database)
    _record(database, 100, minutes=11)
    _record(database, 101, minutes=60 * 10)
    morning = LATER + timedelta(hours=10)
    assert _skipped(database, log, morning + timedelta(seconds=5)) == ""
    assert "since 2026-11-25 15:11:00 UTC" in _skipped(database, log, morning + timedelta(minutes=2))


def test_commands_without_a_server_may_write_for_days(database: Database) -> None:
    log = fill(database)
    by_command = {"principal": LOCAL_OPERATOR, "decision": None, "kind": EventKind.CLIENT_TOKENS_REVOKED}
    for number, hours in ((100, 1), (101, 20)):
        event = issued(number, at=LATER + timedelta(hours=hours))
        event = replace(event, authority_version=None, **by_command)
        database.append(partial(audit.record, event=event))
    assert _skipped(database, log, LATER + timedelta(days=2)) == ""
