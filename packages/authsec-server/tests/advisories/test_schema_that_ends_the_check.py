"""Statements that ended `verify` with an error of the driver, or kept it busy for minutes: its findings were lost."""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from long_runs import some_of

CHANGES = {
    "ALTER TABLE events RENAME COLUMN kind TO kind2": "column events.kind",
    "ALTER TABLE sealed_events RENAME COLUMN hash TO hash2": "sealed_events",
    "ALTER TABLE checkpoints RENAME COLUMN at TO at2": "checkpoints",
    "ALTER TABLE number_ranges RENAME TO other": "table number_ranges is missing",
    "DROP TABLE event_delegations": "table event_delegations is missing",
    "DROP TABLE checkpoints": "table checkpoints is missing",
    "DROP TABLE authority": "table authority is missing",
}
FEW = ("ALTER TABLE events RENAME COLUMN kind TO kind2", "DROP TABLE checkpoints", "DROP TABLE authority")


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize(
    "change", [*FEW, *(pytest.param(each, marks=pytest.mark.soak) for each in CHANGES if each not in FEW)]
)
def test_a_table_or_column_that_is_missing_is_a_finding(database: Database, change: str) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(change) and None)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    wanted = CHANGES[change].split(".")[0 if database.dialect == "sqlite" else -1].removeprefix("column ")
    assert wanted in "\n".join(report.findings)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("mark", some_of(["[", "'", '"', "`"], each=2))
def test_a_comment_of_open_quotations_is_read_once(database: Database, mark: str) -> None:
    log = fill(database)
    comment = f"{mark} " * 300_001
    database.append(lambda tx: tx.connection.exec_driver_sql(f"CREATE TABLE evil (x /* {comment} */)") and None)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    assert "The table evil is unknown to AuthSec" in "\n".join(report.findings)
