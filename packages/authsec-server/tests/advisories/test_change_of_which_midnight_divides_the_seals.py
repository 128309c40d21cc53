"""A busy second before the end of a month: a checkpoint of before midnight covers half of a change. Honest.

The drop of the month once removed this half. The last event of the change stayed, and seemed to say all that the change
revoked. So each check without the export reported the row of the dropped half, and each later drop was refused.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing.unsealed import BATCH
from authsec_server.audit.service import record
from authsec_server.clients import service
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database, Tx

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight, noon

pytestmark = pytest.mark.changes_rows_only


def divided(year: Year) -> list[int]:
    """Disable two agents in one change. One pass of the sealer ends with the first event, before midnight."""
    year.do(lambda tx, act: service.create(tx, act, Onboarding(name="Other", platform="unattested")))
    year.settle()
    year.at = midnight(9) - timedelta(seconds=1)
    tried = Event(at=year.at, kind=EventKind.ISSUER_TRIED, request_id="req_000000000000000000000001")

    def fill(tx: Tx) -> None:
        for _ in range(BATCH - 1):
            record(tx, tried)

    year.database.append(fill)
    ids = [year.database.read(lambda tx, s=slug: service.get(tx, year.act, s)).id for slug in ("helper", "other")]
    year.do(lambda tx, act: service.disable_many(tx, act, ids))
    year.sealer.seal()
    year.seal(midnight(9))
    year.at = noon(9) - timedelta(days=5)
    year.settle()
    return numbers(year)


def numbers(year: Year) -> list[int]:
    statement = "SELECT id FROM events WHERE kind = 'client.disabled' ORDER BY id"
    return year.database.read(lambda tx: list(tx.connection.exec_driver_sql(statement).scalars()))


@pytest.mark.sqlite_suffices  # test_drop_by_a_machine_whose_clock_is_ahead.py drops a month of PostgreSQL
def test_a_drop_removes_all_events_of_a_change_or_none(database: Database) -> None:
    year = Year(database)
    both = divided(year)
    assert year.report().findings == ()
    year.drop(9)
    assert numbers(year) == both
    assert year.report().findings == ()  # with the export
    year.files.clear()
    assert year.report().findings == ()  # without it, as the next drop checks
    year.edit(10)
    year.drop(10)  # the next drop removes the change
    assert numbers(year) == []
    assert year.report().findings == ()
