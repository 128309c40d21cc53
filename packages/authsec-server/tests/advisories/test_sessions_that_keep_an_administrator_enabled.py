"""Raw SQL inserts very many open sessions of an administrator. Disabling the administrator ends all of them.

With an event for each session, the change took so long that nobody could disable the administrator.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators, sessions
from authsec_server.audit.model import EventKind
from sealed_estate import sealed_estate

PLANTED = 500
INSERT = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    " INSERT INTO sessions ({columns}) SELECT {values} FROM n, administrators a WHERE a.email = 'bob@example.com'",
    "postgresql": "INSERT INTO sessions ({columns}) SELECT {values} FROM generate_series(1, 500) AS n(i),"
    " administrators a WHERE a.email = 'bob@example.com'",
}


def planted(dialect: str) -> str:
    id_ = "'00000000-0000-4000-8000-' || (100000000000 + i)"
    at = "'2026-11-25 11:00:00.000000" + ("+00'" if dialect == "postgresql" else "'")
    values = {"id": id_, "administrator_id": "a.id", "created_at": at, "last_seen_at": at, "ended_at": "NULL"}
    values |= {"method": "'password'", "address": "''", "user_agent": "''"}
    columns = [column.name for column in sessions.store.sessions.columns]
    return INSERT[dialect].format(columns=", ".join(columns), values=", ".join(values.get(c, id_) for c in columns))


@pytest.fixture
def bob(estate: Any) -> Any:
    sealed_estate(estate)
    return estate.database.read(lambda tx: administrators.find_administrator(tx, "bob@example.com"))


@pytest.mark.sqlite_suffices  # test_planted_rows_that_keep_an_end_from_happening.py has PostgreSQL
def test_the_administrator_is_disabled_with_few_events(estate: Any, bob: Any) -> None:
    estate.database.append(lambda tx: tx.connection.exec_driver_sql(planted(tx.connection.dialect.name)) and None)
    estate.do(lambda tx, act: administrators.disable(tx, act, bob.id))
    ended = [each for each in estate.events() if each.kind == EventKind.SESSION_ENDED]
    assert len(ended) == sessions.MOST_NAMED + 1
    last = next(each for each in ended if each.subject.id == bob.id)
    assert last.detail["sessions"] == PLANTED - sessions.MOST_NAMED
    assert estate.database.read(lambda tx: sessions.store.open_sessions(tx.connection, bob.id)) == []
