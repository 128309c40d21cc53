"""Nothing happens over the end of a month, and a checkpoint of the next month covers the last events of the old one.

The first checkpoint over them is of the old month, so they may be dropped: also where the later checkpoint was kept
elsewhere, or is in the record of the drop.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent / "advisories"))
from test_audit_log_dropped_unseen import Old

pytestmark = pytest.mark.sqlite_suffices

DECEMBER = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
NEXT_YEAR = datetime.fromisoformat("2027-01-01T00:00:00+00:00")


@pytest.mark.parametrize("is_idle", [True, False], ids=["dropped before any event", "dropped later"])
def test_later_exports_are_as_sealed_and_the_next_month_can_be_dropped(database: Database, is_idle: bool) -> None:
    old = Old(database)
    old.now = DECEMBER
    old.settle()
    morning = old.report().last
    assert morning is not None
    assert morning.at > DECEMBER
    if not is_idle:
        old.record(old.now)
        old.settle()
        old.now = DECEMBER.replace(day=20)
        old.settle()
    lines = list(export(database))
    assert old.drop(lines, before=DECEMBER).events == 12
    old.settle()
    after = list(export(database))
    for kept in ([], [morning]):
        report = verify_export(after, old.keys, kept, [KeptExport("old.jsonl", lines)])
        assert (report.findings, report.not_checkable) == ((), 0)
    old.record(old.now)
    old.settle()
    old.now = NEXT_YEAR
    old.settle()
    assert old.drop(list(export(database)), before=NEXT_YEAR).events == (1 if is_idle else 2)
