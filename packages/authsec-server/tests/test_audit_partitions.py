"""The monthly partitions of the audit log on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from time import monotonic
from typing import Any

import pytest
from authsec_server.audit import partitions
from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Database, open_database
from authsec_server.db.database import Access
from authsec_server.db.postgresql_connection import BOUNDS
from authsec_server.failures import Fault, Unavailable
from sqlalchemy import Connection, create_engine, text

PARTITIONS = """
SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass AND inhrelid::regclass::text ~ '^events_203'
"""
MONTHS = [datetime(2031 + number, 1, 1, tzinfo=UTC) for number in range(5)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_servers_make_the_same_months_at_once(database: Database, database_url: str) -> None:
    """One of them waits for the other. Neither ends the other's transaction."""
    other, at_once = open_database(database_url), Barrier(2)

    def prepare(its: Database) -> None:
        for month in MONTHS:
            at_once.wait(20)
            its.append(lambda tx, month=month: prepare_months(tx.connection, month))  # type: ignore[misc] # mypy does not infer it

    try:
        with ThreadPoolExecutor(2) as threads:
            for each in [threads.submit(prepare, its) for its in (database, other)]:
                each.result(60)
    finally:
        other.close()
    assert made(database) == 3 * len(MONTHS)


def made(database: Database) -> int:
    return int(database.read(lambda tx: tx.connection.execute(text(PARTITIONS)).scalar_one()))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_months_are_made_after_a_dump_that_has_locked_the_audit_log(database: Database, database_url: str) -> None:
    """Meanwhile no maintenance, start or command fails, and no token waits for too long."""
    engine = create_engine(database_url)
    with engine.connect() as dump:
        dump.execute(text("LOCK TABLE events IN ACCESS SHARE MODE"))  # as pg_dump does
        began = monotonic()
        database.append(lambda tx: prepare_months(tx.connection, MONTHS[0]))
        assert monotonic() - began < BOUNDS[Access.RECORD].lock_timeout / 1000
        assert made(database) == 0
    engine.dispose()
    database.append(lambda tx: prepare_months(tx.connection, MONTHS[0]))
    assert made(database) == 3


def deadlock(connection: Connection, *_: Any) -> bool:
    connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"))
    return True


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_months_are_made_after_a_deadlock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "_can_be_moved", deadlock)
        database.append(lambda tx: prepare_months(tx.connection, MONTHS[0]))
    assert made(database) == 0
    database.append(lambda tx: prepare_months(tx.connection, MONTHS[0]))
    assert made(database) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_deadlock_is_a_lock_that_was_kept_too_long(database: Database) -> None:
    with pytest.raises(Unavailable) as raised:
        database.append(lambda tx: deadlock(tx.connection))
    assert raised.value.fault is Fault.AUTHORITY_LOCKED
