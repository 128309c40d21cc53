"""PostgreSQL: a transaction that stays open locks tables, so that `verify --deep` skips their indexes."""

from __future__ import annotations

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
