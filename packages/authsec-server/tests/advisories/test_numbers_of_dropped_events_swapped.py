"""Raw SQL exchanges the event numbers of two seals whose events were dropped.

Only the seals are left of these events. A leaf's hash covers the number, and the kept export has the event. But once
neither check compared the number beside the leaf with the event of that export. So each later sealed export gave the
leaf of one event the number of another, and nothing was found, although the files contained all events.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.db import Database
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_audit_log_dropped_unseen import Old

pytestmark = pytest.mark.sqlite_suffices


def test_numbers_of_seals_that_differ_from_the_export_are_found(database: Database) -> None:
    old = Old(database)
    old.drop()
    old.settle()
    old.run(
        text("UPDATE sealed_events SET event_id = 99 WHERE position = 1"),
        text("UPDATE sealed_events SET event_id = 2 WHERE position = 2"),
        text("UPDATE sealed_events SET event_id = 3 WHERE position = 1"),
    )
    of_database = old.report(old.lines).findings
    of_export = verify_export(list(export(database)), old.keys, given=[KeptExport("old.jsonl", old.lines)]).findings
    expected = (
        "The seal at position 1 was changed: the seal has the number 3, but old.jsonl has event 2 there.",
        "The seal at position 2 was changed: the seal has the number 2, but old.jsonl has event 3 there.",
    )
    assert (of_database, of_export) == (expected, expected)
