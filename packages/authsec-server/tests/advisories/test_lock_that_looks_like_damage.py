"""Somebody keeps a transaction open that locks a table of AuthSec on PostgreSQL.

`verify` waits for the lock again for each column and each index of the table, five seconds each time. With one
partition of events, that is three minutes; with those of a year, more than ten. Then it reports an intact log as
changed, with status 3.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from authsec.exit_status import Exit
from authsec_server.db import postgresql_connection
from authsec_server.db.database import Access
from copied_log import copied_log, verified

pytestmark = pytest.mark.soak  # a test waits for ten seconds

BRIEF = postgresql_connection.Bounds(
    lock_timeout=50, statement_timeout=15_000, idle_in_transaction_session_timeout=30_000
)


@pytest.mark.parametrize("table", ["events", "revocations"])
def test_a_locked_table_is_no_finding(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    for access in (Access.READ, Access.CHECK):
        monkeypatch.setitem(postgresql_connection.BOUNDS, access, BRIEF)
    with copied_log(postgres_url) as (url, log), psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        status, said = verified(url, log, tmp_path)
        connection.rollback()
    assert status == Exit.FAILED, said  # the check failed: neither intact nor changed
    assert f"locked the table {table}" in said
