"""Somebody sets the number of rebuilds of the counts to the highest that its column can have.

`verify` finds nothing. Later somebody changes a count, and the command that rebuilds the counts ends with a traceback:
the next number is beyond the column.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit.sealing.count_rebuild import rebuild_counts
from sqlalchemy import text

HIGHEST = 2**63 - 1


@pytest.mark.xfail(strict=True, reason="the next number of rebuilds is beyond its column")
def test_counts_are_rebuilt_whatever_their_number_of_rebuilds_is(counted_audit_log: Any) -> None:
    its = counted_audit_log
    for statement in (f"UPDATE counted SET rebuilds = {HIGHEST}", "DELETE FROM hourly_counts"):
        its.database.append(lambda tx, s=statement: tx.connection.execute(text(s)) and None)
    assert rebuild_counts(its.database, its.act(), its.keys).rows["hourly_counts"] > 0
