"""Raw SQL inserts an event that has no authority version, or a counted refusal that has one, and a server seals it.

The checks of revocations, of ended subjects and of written tables go by the version. An event without a version would
pass all of them: it could say that a token was revoked, and no row would have to say so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.model import COUNTED, Decision, EventKind
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from sqlalchemy import insert, select

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.changes_rows_only]


def token_row(year: Year) -> dict[str, Any]:
    """The row of the newest token."""
    statement = select(events).where(events.c.jti == JTI)
    return year.database.read(lambda tx: dict(tx.connection.execute(statement).one()._mapping))


def test_a_revocation_without_a_version_gets_no_seal_and_is_found(database: Database) -> None:
    year = Year(database)
    year.issue()
    year.settle()
    its = {"kind": EventKind.TOKEN_REVOKED, "decision": None, "authority_version": None, "request_id": f"req_{1:024}"}

    def plant(tx: Tx) -> int:
        number: int = tx.connection.exec_driver_sql("SELECT max(id) + 1 FROM events").scalar_one()
        tx.connection.execute(insert(events).values(token_row(year) | its | {"id": number, "at": year.at}))
        return number

    number = database.append(plant)
    year.settle()
    found = "".join(year.report().findings)
    assert f"Event {number} has a form that AuthSec does not write" in found


def test_each_event_but_a_counted_refusal_has_a_version(database: Database) -> None:
    year = Year(database)
    year.issue()
    row = token_row(year)
    for kind in set(EventKind) - {EventKind.EVENT_UNREADABLE}:
        jti = JTI if kind in {EventKind.TOKEN_ISSUED, EventKind.TOKEN_REVOKED} else ""
        assert not is_event(row | {"kind": kind, "jti": jti, "authority_version": None}), kind
    for kind in COUNTED:
        at = row["at"].replace(second=0)
        refusal = row | {"kind": kind, "at": at, "decision": Decision.DENIED, "count_key": "k", "detail": {}, "jti": ""}
        assert is_event(refusal | {"authority_version": None})
        assert not is_event(refusal)
