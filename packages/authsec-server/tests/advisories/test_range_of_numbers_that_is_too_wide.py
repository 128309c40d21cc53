"""Raw SQL widens the number range of an hour. A list by time then reads events of other hours, too.

No list was seen to lose an event. But the docs promise that a changed range is found.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database

pytestmark = pytest.mark.sqlite_suffices

FIRST, LAST = (f"WHERE hour = (SELECT {each}(hour) FROM number_ranges)" for each in ("min", "max"))
WIDER = {
    "a higher number": f"UPDATE number_ranges SET highest = highest + 9000 {FIRST}",
    "a lower number": f"UPDATE number_ranges SET lowest = lowest - 1 {LAST}",
    "an hour without events": "INSERT INTO number_ranges SELECT '2020-01-01 00:00:00.000000', 1, 9 FROM authority",
}


@pytest.mark.parametrize("statement", WIDER.values(), ids=WIDER)
def test_it_is_found(database: Database, statement: str) -> None:
    log = fill(database)

    def findings() -> tuple[str, ...]:
        return database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER)).findings

    assert findings() == ()
    database.append(lambda tx: tx.connection.exec_driver_sql(statement) and None)
    (found,) = findings()
    assert "but the events of that hour have fewer numbers" in found
