"""The clock of one server is 25 seconds ahead at the end of a month, and an agent is renamed on both: no attack.

The server ahead dates the first event into the next month, so a drop leaves it. The second event, with the name or the
end that the agent has since, is dated in the month that ends, sealed before its end, and dropped. Then the newest event
that is left gives the agent a name that it no longer has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.rollup import roll_up
from authsec_server.clients import service
from authsec_server.db import Database
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


def _renamed(tx: Any, act: Any, before: str, to: str) -> None:
    service.edit(tx, act, before, revision=service.get(tx, act, before).revision, changes={"slug": to})


SECOND: dict[str, Callable[[Any, Any], Any]] = {
    "renamed again": lambda tx, act: _renamed(tx, act, "first", "second"),
    "deleted": lambda tx, act: service.delete(tx, act, service.get(tx, act, "first")),
}


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
@pytest.mark.parametrize("second", some_of(SECOND.values(), each=2), ids=SECOND)
def test_a_name_that_was_dropped_is_no_finding(database: Database, second: Callable[[Any, Any], Any]) -> None:
    year = Year(database)
    year.at = midnight(9) + timedelta(seconds=10)  # 25 seconds ahead
    year.do(lambda tx, act: _renamed(tx, act, "helper", "first"))
    year.at = midnight(9) - timedelta(seconds=13)
    year.do(second)
    year.seal(midnight(9) - timedelta(seconds=11))
    year.at = midnight(9) + timedelta(hours=30)
    year.settle()
    roll_up(year.database, year.at)
    assert year.report().findings == ()
    year.drop(9)
    assert (year.report().findings, year.report().skipped) == ((), ())
