"""Somebody who writes to the database changes when a token was revoked, and no event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.revocations import service as revocations
from long_runs import some_of
from sealed_estate import sealed_estate

pytestmark = pytest.mark.sqlite_suffices

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


@pytest.mark.parametrize("way", some_of(WAYS))
def test_a_changed_table_of_revocations_is_found(database: Database, way: str) -> None:
    log = fill(database)
    said = database.read(lambda tx: answers(tx, log.covered))
    utc = way if database.dialect == "postgresql" else way.replace("+00'", "'")
    database.append(lambda tx: tx.connection.exec_driver_sql(utc) and None)
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    assert any("revocations" in each for each in report.findings), said["when tokens were revoked"]


def test_all_rows_are_deleted_when_all_are_old(estate: Any) -> None:
    """Servers never forget the newest row. Else the story of a token would no longer say when it was revoked."""
    its = sealed_estate(estate)
    for client in ("helper", "payments"):
        estate.do(lambda tx, act, c=client: clients.revoke_tokens(tx, act, c))
    its.seal()
    estate.act = replace(estate.act, now=estate.act.now + timedelta(days=9))
    estate.database.append(lambda tx: revocations.forget(tx, estate.act.now))
    ((_, newest, _),) = estate.endings()
    assert its.findings() == ()
    _, found = its.after("DELETE FROM revocations")
    assert f"revoked the tokens of the client {newest}, but revocations has no such row." in found
