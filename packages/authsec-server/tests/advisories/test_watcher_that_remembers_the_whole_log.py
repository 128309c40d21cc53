"""Somebody inserts one event with a number below all others, dated two minutes ago, while nothing else happens.

The live audit log remembers the numbers above the last event that is older than two minutes. With this event, these are
the numbers of the whole log: a server with ten million events holds a gigabyte as soon as somebody opens Activity, and
reads all numbers again each second.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.live import LATE, RECENT, Tail
from authsec_server.db import Database

OLD = 3 * RECENT
NOW = LATER + timedelta(hours=1)
AT = {"sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '{}')", "postgresql": "timestamptz '{}+00'"}
INSERT = """
INSERT INTO events (id, at, kind, request_id, delegations, roles, reason, address, jti, kid, token_sha256, detail,
    occurrences)
SELECT {number}, {at}, 'role.created', '', '[]', '[]', '', '', '', '', '', '{{}}', 1 FROM ({rows}) AS n
"""
ROWS = f"WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {OLD}) SELECT i FROM r"


def test_a_watcher_makes_the_server_remember_few_numbers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.audit.live.MOST_OPEN", RECENT)
    fill(database)
    at = AT[database.dialect]
    long_ago, just_now = (f"{each:%Y-%m-%d %H:%M:%S}" for each in (LATER, NOW - 2 * LATE - timedelta(seconds=1)))
    for number, time, rows in (("1000 + i", long_ago, ROWS), ("-5", just_now, "SELECT 1 AS i")):
        statement = INSERT.format(number=number, at=at.format(time), rows=rows).replace("%", "%%")
        statement = statement if database.dialect == "postgresql" else statement.replace("%%", "%")
        database.append(lambda tx, statement=statement: tx.connection.exec_driver_sql(statement) and None)
    tail = database.read(lambda tx: Tail(tx, NOW))
    assert len(tail._seen) <= RECENT
