"""Somebody inserts ten million events of a month to come on PostgreSQL, and waits until that month gets its partition.

The events are in the default partition. A server moves them into the new partition, and has locked the table of events
meanwhile. If it moved any number, the statement would end by its timeout after fifteen seconds, and all would begin
again a minute later. For a quarter of each minute, no token would be issued. If the maintenance ended there, keys would
not be rotated, events not be counted, and nothing that expired would be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from audit_answers import fill
from authsec_server.audit import service as audit
from authsec_server.db import Database, postgresql, postgresql_connection
from authsec_server.db.database import Access
from authsec_server.failures import Unavailable
from structlog.testing import capture_logs

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
BEFORE, IN_TIME = datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
BRIEF = postgresql_connection.Bounds(lock_timeout=5000, statement_timeout=50, idle_in_transaction_session_timeout=2500)
TRIES = 5
INSERT = """
INSERT INTO events (id, at, kind, request_id, delegations, roles, decision, reason, address, jti, kid, token_sha256,
    detail, occurrences)
SELECT nextval('events_id_seq'), timestamptz '2027-03-02 00:00:00+00' + i * interval '1 millisecond', 'token.issued',
    '', '[]', '[]', 'granted', '', '', '', '', '', '{}', 1
FROM generate_series(1, 50000) i
"""


def is_there(database: Database) -> bool:
    found = "SELECT to_regclass('events_2027_03') IS NOT NULL"
    return bool(database.read(lambda tx: tx.connection.exec_driver_sql(found).scalar_one()))


@pytest.fixture
def brief_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A three-hundredth of the time that a statement may take, for a two-hundredth of the rows."""
    monkeypatch.setitem(postgresql_connection.BOUNDS, Access.APPEND, BRIEF)
    postgresql._opening.cache_clear()
    yield
    postgresql._opening.cache_clear()


def test_the_month_gets_its_partition(database: Database, request: pytest.FixtureRequest) -> None:
    fill(database)
    database.append(lambda tx: audit.prepare_months(tx, BEFORE))
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT) and None)
    request.getfixturevalue("brief_statements")
    for _ in range(TRIES):
        with suppress(Unavailable):  # the statement may time out, and the next try goes on
            database.append(lambda tx: audit.prepare_months(tx, IN_TIME))
    assert is_there(database)


@pytest.mark.parametrize("bound", [{"MOST_MOVED": 49_999}, {"MOST_READ": 1_000_000}], ids=["of the month", "of any"])
def test_very_many_events_keep_a_month_from_its_partition_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch, bound: dict[str, int]
) -> None:
    """To attach a partition, PostgreSQL reads the whole default partition: events of other months delay it, too."""
    for name, most in bound.items():
        monkeypatch.setattr(f"authsec_server.audit.partitions.{name}", most)
    fill(database)
    database.append(lambda tx: audit.prepare_months(tx, BEFORE))
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT) and None)
    with capture_logs() as logs:
        database.append(lambda tx: audit.prepare_months(tx, IN_TIME))
    assert not is_there(database)
    months = ["2027-03"] if "MOST_MOVED" in bound else ["2027-01", "2027-02", "2027-03"]
    assert [each["month"] for each in logs][-len(months) :] == months
