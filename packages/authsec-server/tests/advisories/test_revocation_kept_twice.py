"""Somebody copies a row of revocations a thousand times: each copy has an event that says so.

A reader that asks for the newest revocations would see the copies alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events
from authsec_server.clients import service
from authsec_server.clients import service as clients
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.principal import Act
from authsec_server.revocations import service as revocations
from long_runs import some_of
from sealed_estate import sealed_estate
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

COPIES = 1000
COPY = (
    "INSERT INTO revocations WITH RECURSIVE numbers (number) AS"
    " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {copies})"
    " SELECT sequence + number, subject_kind, subject_id, version, at FROM revocations, numbers"
    " WHERE sequence = (SELECT max(sequence) FROM revocations)"
)


def copy(tx: Tx, copies: int = COPIES) -> None:
    tx.connection.execute(text(COPY.format(copies=copies)))


@pytest.mark.parametrize("copies", [1, COPIES])
def test_a_copy_of_a_row_is_found(database: Database, copies: int) -> None:
    log = fill(database)
    newest = database.read(revocations.last)
    database.append(lambda tx: copy(tx, copies))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    (found,) = (each for each in report.findings if "revocations" in each)
    assert f"revocations has {1 + copies:,} rows like row {newest}, " in found
    assert "but the events explain only 1 of them." in found


SAME_EVENT = (
    "INSERT INTO events ({columns}) SELECT {columns} FROM events"
    " WHERE authority_version = (SELECT max(version) FROM revocations)"
)


def test_a_copy_with_a_copy_of_its_event_is_found(database: Database) -> None:
    log = fill(database)
    sealed_at = LATER + timedelta(minutes=10)

    def report() -> Report:
        return database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=sealed_at))

    def plant(tx: Tx) -> None:
        columns = ", ".join(column.name for column in events.columns if column.name != "id")
        tx.connection.execute(text(SAME_EVENT.format(columns=columns)))
        copy(tx, 1)

    assert report().skipped == ()
    database.append(plant)
    assert any("but the events explain only 1 of them." in each for each in report().findings)


@pytest.mark.parametrize("delete", some_of([delegations.delete_role, delegations.delete_client], each=2))
def test_a_copy_of_a_deletion_with_several_events_is_found(
    estate: Any, delete: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event names at most 300 delegations, as test_deletion_of_very_many_delegations.py has it; here three."""
    monkeypatch.setattr(audit, "MAX_NAMED", 3)
    its = sealed_estate(estate)
    estate.role("Big")
    for number in range(4):
        estate.delegate(role="big", slug=f"x{number}")
        estate.do(lambda tx, act, slug=f"x{number}": delegations.revoke(tx, act, slug, estate.terms))
    further = () if delete is delegations.delete_role else (estate.terms,)
    estate.do(lambda tx, act: delete(tx, act, "helper" if further else "big", *further))
    deleted = "client.deleted" if further else "role.deleted"
    assert len(estate.events(deleted)) > 1
    its.seal()
    assert its.findings() == ()
    _, found = its.after(COPY.format(copies=1))
    assert "revocations has 2 rows like row " in found


def test_one_change_may_end_one_agent_twice(estate: Any) -> None:
    """A configuration that is applied does several things in one change."""
    its = sealed_estate(estate)

    def work(tx: Tx, act: Act) -> None:
        service.revoke_tokens(tx, act, "helper")
        clients.disable(tx, act, "helper")

    estate.do(work)
    its.seal()
    assert estate.endings()[-1] == estate.endings()[-2]
    assert its.findings() == ()
    _, found = its.after(COPY.format(copies=1))
    assert "revocations has 3 rows like row " in found
