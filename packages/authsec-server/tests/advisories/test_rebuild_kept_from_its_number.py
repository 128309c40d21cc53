"""Somebody sets the number of rebuilds of the counts, or a count, to the highest or lowest that its column can have.

`verify` finds nothing wrong with a number of rebuilds. Later somebody changes a count. If the next number, or the
difference to the genuine count, were beyond its column, the command that rebuilds the counts would end with an error.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit.sealing.count_rebuild import rebuild_counts
from authsec_server.audit.sealing.verifying import verify
from long_runs import some_of
from sqlalchemy import text

HIGHEST, LOWEST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize("rebuilds", some_of([HIGHEST, -1, LOWEST]))
def test_counts_are_rebuilt_whatever_their_number_of_rebuilds_is(counted_audit_log: Any, rebuilds: int) -> None:
    its = counted_audit_log
    for statement in (f"UPDATE counted SET rebuilds = {rebuilds}", "DELETE FROM hourly_counts"):
        its.database.append(lambda tx, s=statement: tx.connection.execute(text(s)) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows["hourly_counts"] > 0


@pytest.mark.parametrize("count", some_of([HIGHEST, -1, LOWEST]))
def test_counts_are_rebuilt_whatever_they_are(counted_audit_log: Any, count: int) -> None:
    its = counted_audit_log
    statement = f"UPDATE hourly_counts SET occurrences = {count}"
    its.database.append(lambda tx: tx.connection.execute(text(statement)) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows["hourly_counts"] > 0
    assert its.database.check(lambda tx: verify(tx, its.keys, now=its.act().now)).findings == ()
