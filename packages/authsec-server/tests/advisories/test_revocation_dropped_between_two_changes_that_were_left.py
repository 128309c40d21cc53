"""The clock of one server is some minutes ahead in the last minute of a month, and another one revokes tokens: honest.

The change of the first server and a token are dated into the next month, so a drop leaves them. The revocation after
them is dated in the month that ends, and is dropped. Its row of revocations stays for some days.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.service import record
from authsec_server.clients import service
from authsec_server.db import Database, Tx
from long_runs import some_of
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight


def _token(tx: Tx, at: datetime) -> Event:
    """A token that the server ahead issues before the revocation."""
    at_version = tx.connection.execute(text("SELECT version FROM authority")).scalar_one()
    client = Named(id=tx.connection.execute(text("SELECT id FROM clients")).scalar_one(), name="Helper")
    usual: dict[str, Any] = {"kind": EventKind.TOKEN_ISSUED, "decision": Decision.GRANTED, "request_id": f"req_{1:024}"}
    return Event(**usual, at=at, expires_at=at + timedelta(hours=1), client=client, authority_version=at_version)


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
@pytest.mark.parametrize("ahead", some_of(["09-01T00:04:00", "09-01T00:06:00"], each=2))
def test_a_revocation_that_was_dropped_is_no_finding(database: Database, ahead: str) -> None:
    year = Year(database)
    year.edit_at(datetime.fromisoformat(f"2026-{ahead}+00:00"))
    year.database.append(lambda tx: record(tx, _token(tx, year.at)))
    year.at = datetime.fromisoformat("2026-08-31T23:59:10+00:00")
    year.do(lambda tx, act: service.disable(tx, act, "helper"))
    year.seal(midnight(9) - timedelta(seconds=30))
    year.edit_at(midnight(9) + timedelta(hours=30))
    year.settle()
    roll_up(year.database, year.at)
    assert year.report().findings == ()
    year.drop(9)
    assert year.report().findings == ()  # with the export
    year.files.clear()
    assert year.report().findings == ()  # without it, as the next drop checks
