"""An operator changes something while a drop runs, and the next drop removes the event of that change: no attack.

The event of a drop has the authority version at which `verify` confirmed the tables, minutes before it is recorded.
So a change in between has a higher version and a lower number than that event. If it was the last event of its month,
the next drop removes it, and all events that it removes have lower numbers than the event of the first drop. That
event is never removed. It is then followed by a gap in the chain of digests, which nobody made by raw SQL.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.audit.rollup import roll_up
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Overtaken, Year, midnight, noon

pytestmark = pytest.mark.changes_rows_only

WHEN = {
    "in a month in which nothing else is recorded": noon(8) + timedelta(days=5),
    "in the last minute of a month": midnight(9) - timedelta(seconds=50),
}


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
@pytest.mark.parametrize("at", WHEN.values(), ids=WHEN)
def test_a_change_during_a_drop_is_no_finding_after_the_next_drop(database: Database, at: object) -> None:
    year = Year(database)
    year.at = at
    keys = year.sealing_keyring
    sealer = Overtaken(
        year.database, issuer="https://a", signing_key=keys.signing_key, keys=year.keys, now=lambda: year.at
    )

    def edit() -> None:
        year.edit_at(year.at + timedelta(seconds=10))
        year.seal(year.at + timedelta(seconds=1))

    sealer.edit, first = edit, year.dropper
    year.dropper = replace(first, sealer=sealer)
    year.drop(8)
    assert (year.report().findings, year.report().skipped) == ((), ())
    year.dropper = first
    year.edit(9)
    assert (year.report().findings, year.report().skipped) == ((), ())
    roll_up(year.database, year.at)
    year.drop(9)
    report = year.report()
    assert (report.findings, report.skipped) == ((), ())
