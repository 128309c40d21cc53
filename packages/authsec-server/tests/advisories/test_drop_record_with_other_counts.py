"""Whoever has the sealing key changes counts of old months, and signs the digests of that in a record of their drop."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import dropped_counts
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.store import events
from authsec_server.db import Database
from sqlalchemy import delete, text

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import AUGUST, Old

pytestmark = pytest.mark.sqlite_suffices

LIES = {
    "hourly_counts": "UPDATE hourly_counts SET occurrences = occurrences + 1000 WHERE hour < '2026-07-01'",
    "client_counts": "DELETE FROM client_counts WHERE hour < '2026-07-01'",
    "last_uses": "UPDATE last_uses SET granted_at = '2026-06-10 11:00:00' WHERE month < '2026-07-01'",
}


@pytest.mark.parametrize("table", LIES)
def test_an_export_of_the_dropped_events_shows_other_counts(database: Database, table: str) -> None:
    old = Old(database)
    assert old.kept is not None
    old.run(text(LIES[table]))
    digests = database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    claims = {"before": "2026-08", "by": "ann", "export_sha256": "00" * 32, "checkpoint": old.kept.signed}
    claims |= {"events": 8, "numbers": [2, 9], "places": [[1, 8]], "counts": dict(digests)}
    claims |= {"tables": {}, "authority_version": 1}
    signed = sign_drop(claims, at=old.now, issuer="https://a", key=old.key)
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    old.run(delete(events).where(events.c.id.between(2, 9)))
    assert old.report().not_checkable == 8
    assert any(each.startswith(f"{table} says") for each in old.report(old.lines).findings)


def test_counts_are_compared_in_months_of_which_the_files_hold_all(database: Database) -> None:
    """The counts of older months, of which the files hold nothing, are compared with the digests."""
    old = Old(database)
    old.drop(before=AUGUST.replace(month=7))
    old.settle()
    old.drop()
    old.settle()
    later = [line for line in old.lines if '"at":"2026-06' not in line]
    assert old.report(later).not_checkable == 4
    assert old.report(later).findings == ()
    old.run(text("UPDATE hourly_counts SET occurrences = 9 WHERE hour BETWEEN '2026-07-01' AND '2026-08-01'"))
    assert any(each.startswith("hourly_counts says 9") for each in old.report(later).findings)
