"""The monthly partitions of the audit log on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Database, open_database
from sqlalchemy import text

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
    made = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
    names = f"{made} AND inhrelid::regclass::text ~ '^events_203'"
    assert database.read(lambda tx: tx.connection.execute(text(names)).scalar_one()) == 3 * len(MONTHS)
