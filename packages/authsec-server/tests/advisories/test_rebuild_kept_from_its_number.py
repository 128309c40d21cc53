"""Somebody sets the number of rebuilds of the counts, or a count, to the highest or lowest that its column can have.

`verify` finds nothing wrong with a number of rebuilds. Later somebody changes a count. If the next number, or the
difference to the genuine count, were beyond its column, the command that rebuilds the counts would end with an error.
So would it if the driver refused a text that a superuser stored as octets that are not UTF-8.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit.sealing.count_rebuild import rebuild_counts
from authsec_server.audit.sealing.verifying import verify
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.changes_rows_only

HIGHEST, LOWEST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize("rebuilds", some_of([HIGHEST, -1, LOWEST]))
def test_counts_are_rebuilt_whatever_their_number_of_rebuilds_is(counted_audit_log: Any, rebuilds: int) -> None:
    its = counted_audit_log
    for statement in (f"UPDATE counted SET rebuilds = {rebuilds}", "DELETE FROM hourly_counts"):
        its.database.append(lambda tx, s=statement: tx.connection.execute(text(s)) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows["hourly_counts"] > 0


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("count", some_of([HIGHEST, -1, LOWEST]))
def test_counts_are_rebuilt_whatever_they_are(counted_audit_log: Any, count: int) -> None:
    its = counted_audit_log
    statement = f"UPDATE hourly_counts SET occurrences = {count}"
    its.database.append(lambda tx: tx.connection.execute(text(statement)) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows["hourly_counts"] > 0
    assert its.database.check(lambda tx: verify(tx, its.keys, now=its.act().now)).findings == ()


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("place", some_of(["last_uses SET subject_id", "hourly_counts SET reason"]))
def test_counts_are_rebuilt_whatever_octets_a_text_has(counted_audit_log: Any, place: str) -> None:
    its, table = counted_audit_log, place.partition(" ")[0]
    for statement in (
        *(f"CREATE CAST (bytea AS {name}) WITHOUT FUNCTION" for name in ("text", "varchar")),
        rf"UPDATE {place} = ('\xff'::bytea::text) WHERE ctid = (SELECT min(ctid) FROM {table})",
        *(f"DROP CAST (bytea AS {name})" for name in ("text", "varchar")),
    ):
        its.database.append(lambda tx, s=statement: tx.connection.exec_driver_sql(s) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows[table] == 2
    assert its.database.check(lambda tx: verify(tx, its.keys, now=its.act().now)).findings == ()
