"""Round two: whoever has the sealing key signs digests of changed counts in a drop record that drops nothing new."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import dropped_counts
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import AUGUST, Old

LIE = "UPDATE hourly_counts SET occurrences = 1 WHERE hour < '2026-07-01'"
EARLY_PLACES = [[0, 8]]  # of all events before August: the key's making, and eight of June and July


@pytest.mark.sqlite_suffices
def test_a_second_record_of_the_same_drop_brings_no_other_counts(database: Database) -> None:
    old = Old(database)
    record = old.drop()
    old.settle()
    _refuse_lie(old, {"places": record.places, "events": record.events, "numbers": record.numbers})


@pytest.mark.sqlite_suffices
def test_a_record_of_events_that_are_still_there_brings_no_other_counts(database: Database) -> None:
    old = Old(database)
    _refuse_lie(old, {"places": EARLY_PLACES, "events": 9, "numbers": [1, 9]})


def _refuse_lie(old: Old, named: dict[str, Any]) -> None:
    outside = old.report().last
    assert outside is not None
    assert not old.report().findings
    old.run(text(LIE))
    assert old.report().findings
    digests = old.database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    claims = {"before": "2026-08", "by": "ann", "export_sha256": "00" * 32, "checkpoint": outside.signed} | named
    signed = sign_drop(
        claims | {"counts": dict(digests), "tables": {}, "authority_version": 1},
        at=old.now,
        issuer="https://a",
        key=old.key,
    )
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    report = old.database.read(lambda tx: verify_log(tx, old.keys, [outside]))
    assert report.findings, (report.sealed, report.dropped)
