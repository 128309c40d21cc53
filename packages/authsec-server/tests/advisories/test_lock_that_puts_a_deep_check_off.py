"""PostgreSQL: a transaction that stays open locks tables, so that `verify --deep` skips their indexes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import Report, verify
from authsec_server.db import Database, Tx
from long_runs import some_of
from sqlalchemy import create_engine, text

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.mark.parametrize("locks", some_of([True, False], each=2), ids=["a lock of another", "without amcheck"])
def test_a_deep_check_that_cannot_run_is_no_success(database: Database, database_url: str, locks: bool) -> None:
    log = fill(database)

    def work(tx: Tx) -> Report:
        if locks:
            tx.connection.execute(text("CREATE SCHEMA amcheck"))
            tx.connection.execute(text("CREATE EXTENSION amcheck SCHEMA amcheck"))
        tx.connection.execute(text("SET LOCAL lock_timeout = '10ms'"))
        return verify(tx, log.keys, [log.checkpoint], now=LATER, deep=True)

    engine = create_engine(database_url)
    with engine.connect() as idle:
        idle.execute(text("LOCK TABLE hourly_counts, sealed_events IN ROW EXCLUSIVE MODE"))
        report = database.rehearse(work)
        idle.rollback()
    engine.dispose()
    (skipped,) = report.skipped
    assert report.findings == ()
    assert ("lock timeout" if locks else "amcheck is missing") in skipped


@pytest.mark.soak  # it waits for a deadlock
def test_a_deadlock_with_another_transaction_is_no_damage(database: Database, database_url: str) -> None:
    log, engine = fill(database), create_engine(database_url)
    some, all_rows = (text(f"LOCK TABLE sealed_events IN {mode} MODE") for mode in ("ROW EXCLUSIVE", "SHARE"))

    with engine.connect() as other, ThreadPoolExecutor(1) as threads:
        other.execute(some)

        def work(tx: Tx) -> Report:
            tx.connection.execute(text("CREATE SCHEMA amcheck"))
            tx.connection.execute(text("CREATE EXTENSION amcheck SCHEMA amcheck"))
            tx.connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))  # so this one is ended, not the other
            tx.connection.execute(some)
            threads.submit(other.execute, all_rows)
            while not tx.connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first():
                pass
            return verify(tx, log.keys, [log.checkpoint], now=LATER, deep=True)

        report = database.rehearse(work)
        other.rollback()
    engine.dispose()
    (skipped,) = report.skipped
    assert report.findings == ()
    assert "deadlock" in skipped
