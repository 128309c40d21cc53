"""Raw SQL copies an old event on PostgreSQL between the check of a drop and its list of events, and deletes the copy.

Once the drop listed the place of the seal twice, and signed a record that no reader accepts. It dropped nothing. But
the event of the drop was sealed and stayed for good: each later check found it, and each further drop was refused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.db import Database

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year

COPY = (
    "INSERT INTO events SELECT (jsonb_populate_record(e, jsonb_build_object('at', at + interval '1 microsecond'))).*"
    " FROM events e WHERE id = 2"
)
UNDO = "DELETE FROM events e WHERE id = 2 AND EXISTS (SELECT 1 FROM events o WHERE o.id = 2 AND o.at < e.at)"


@pytest.mark.soak  # test_kind_changed_while_a_drop_lists_its_events.py is its neighbour
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_drop_lists_an_event_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    year = Year(database)
    year.edit(9)
    check = Dropper._check_seals

    def check_and_copy(*arguments: Any, **named: Any) -> Any:
        found = check(*arguments, **named)
        year.run(COPY)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Dropper, "_check_seals", check_and_copy)
        year.drop(9)
    year.run(UNDO)
    report = year.report()
    assert (report.findings, report.not_checkable) == ((), 0)
