"""Raw SQL sets the mark up to which events are counted back, below the months that were dropped.

A drop closes its months: an event that a server behind dates into them later is in no count. `verify` leaves such an
event out of the counts, too, and compares no sum of a dropped month, even with the export. With the old mark, readers
add the event to the counts of its month, until a server counts again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit import counts
from authsec_server.audit.sealing.count_rebuild import rebuild_counts
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight, noon

pytestmark = pytest.mark.changes_rows_only


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_the_counts_of_a_dropped_month_stay_or_the_mark_is_found_and_corrected(database: Database) -> None:
    year = Year(database)
    year.at = noon(9)
    year.settle()
    year.drop(9)
    now = year.at
    year.at = noon(8)  # of a server a month behind
    year.issue()
    year.at = now
    year.settle()
    assert year.report().findings == ()

    def issued() -> int:
        return year.database.read(lambda tx: counts.totals(tx, midnight(8), midnight(9))).issued

    before = issued()
    year.run("UPDATE counted SET until = '2026-06-01 00:00:00.000000', through = through - 1")
    assert issued() == before or year.report().findings
    assert rebuild_counts(year.database, year.act, year.keys()).mark
    assert (issued(), year.report().findings) == (before, ())
