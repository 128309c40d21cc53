"""Somebody who writes to the database changes when a token was revoked, and no event."""

from __future__ import annotations

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database

WAYS = (
    "UPDATE revocations SET at = '2026-11-25 12:00:00.000001+00' WHERE sequence = 4",
    "UPDATE revocations SET subject_id = 'c-3' WHERE sequence = 4",
    "UPDATE revocations SET version = 3 WHERE sequence = 4",
    "DELETE FROM revocations",
    "DELETE FROM revocations WHERE sequence = 1",
    "DELETE FROM revocations WHERE sequence = 4",
    "INSERT INTO revocations SELECT 5, 'client', 'c-3', 20, at FROM revocations WHERE sequence = 4",
    "INSERT INTO revocations SELECT 5, 'key', 'kid', 20, at FROM revocations WHERE sequence = 4",
    "UPDATE revocations SET sequence = 0 WHERE sequence = 4",
)


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_table_of_revocations_is_found(database: Database, way: str) -> None:
    log = fill(database)
    said = database.read(lambda tx: answers(tx, log.covered))
    utc = way if database.dialect == "postgresql" else way.replace("+00'", "'")
    database.append(lambda tx: tx.connection.exec_driver_sql(utc) and None)
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.head], now=LATER))
    assert any("revocations" in each for each in report.findings), said["when tokens were revoked"]
