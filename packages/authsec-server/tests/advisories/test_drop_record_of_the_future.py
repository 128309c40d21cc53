"""Whoever has the sealing key drops events of this month by a record that is dated in the next month."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events
from authsec_server.db import Database
from sqlalchemy import delete

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import UNSAID, Old

pytestmark = pytest.mark.sqlite_suffices

DECEMBER = datetime.fromisoformat("2026-12-01T00:00:00+00:00")


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("is_now_known", [False, True])
def test_a_record_of_a_month_that_is_not_over_excuses_nothing(
    database: Database, is_given: bool, is_now_known: bool
) -> None:
    old = Old(database)
    outside = old.kept
    assert outside is not None
    place, number = outside.size - 1, old.numbers()[-1]
    claims = {"before": "2026-12", "by": "ann", "export_sha256": "00" * 32, "checkpoint": outside.signed} | UNSAID
    claims |= {"events": 1, "numbers": [number, number], "places": [[place, place]]}
    signed = sign_drop(claims, at=DECEMBER, issuer="https://a", key=old.key)
    old.record(old.now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    old.run(delete(events).where(events.c.id == number))
    now = old.now if is_now_known else None
    given = [KeptExport("old.jsonl", old.lines)] if is_given else []
    report = database.read(lambda tx: verify_log(tx, old.keys, [outside], given, now=now, counts=False))
    assert any("but the record is dated 2026-12-01 00:00:00 UTC, after" in each for each in report.findings)
    exported = verify_export(list(export(database)), old.keys, [outside], now=now)
    assert any("but the record is dated 2026-12-01 00:00:00 UTC, after" in each for each in exported.findings)


def test_a_record_whose_checkpoint_is_dated_in_the_future_as_well_excuses_nothing(database: Database) -> None:
    old = Old(database)
    outside, now = old.kept, old.now
    assert outside is not None
    place, number = outside.size - 1, old.numbers()[-1]
    claims = {"before": "2026-12", "by": "ann", "export_sha256": "00" * 32, "checkpoint": outside.signed} | UNSAID
    claims |= {"events": 1, "numbers": [number, number], "places": [[place, place]]}
    old.now = DECEMBER + timedelta(minutes=1)
    signed = sign_drop(claims, at=DECEMBER, issuer="https://a", key=old.key)
    old.record(now, EventKind.EVENTS_DROPPED, detail={"record": signed})
    old.settle()
    old.run(delete(events).where(events.c.id == number))
    report = database.read(lambda tx: verify_log(tx, old.keys, [outside], now=now, counts=False))
    assert any("dated 2026-12-01 00:00:00 UTC, after this check at 2026-11-25" in each for each in report.findings)
