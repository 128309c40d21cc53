"""An entry of a PostgreSQL index leads to another row than its own, or with another key; amcheck does not look.

A superuser keeps an entry whose row is gone, and has a covered row take the place. A search by the old key finds that
row: `authsec audit show 12` showed event 3, lists showed events twice, and `verify` ended with 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from audit_answers import ANN, LATER, SealedLog, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import Report, verify
from authsec_server.db import Database
from authsec_server.failures import Conflict
from long_runs import some_rows_of
from sqlalchemy import NullPool, create_engine, make_url

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
Sql = Callable[[str], Any]
EVENTS = "events_default"


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    """Runs one statement of a superuser, in a session of its own: sessions remember how an index was."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def execute(statement: str) -> Any:
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement.replace("%", "%%"))
            return result.all() if result.returns_rows else []

    yield execute
    execute("CREATE VIEW damaged AS SELECT 1 AS one")  # the next test needs another database
    engine.dispose()


def mislead(sql: Sql, table: str, keys: str, row: str, changed: dict[str, str], *, own_entry: bool = True) -> None:
    """An entry with the `changed` columns leads to the `row`; in that index the row has its `own_entry` or none."""
    names = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
    columns = [name for (name,) in sql(f"{names} AND NOT attisdropped ORDER BY attnum")]
    of_index = f"SELECT indexrelid FROM pg_index WHERE indrelid = '{table}'::regclass"
    ((index,),) = sql(f"{of_index} AND pg_get_indexdef(indexrelid) LIKE '%({keys})'")
    values = ", ".join(changed.get(name, name) for name in columns)
    vacuum = f"VACUUM (INDEX_CLEANUP ON) {table}"  # a table of many pages would keep its few dead entries
    sql(vacuum)
    sql(f"CREATE TABLE kept AS SELECT * FROM {table} WHERE {row}")
    ((place,),) = sql(f"INSERT INTO {table} SELECT {values} FROM kept RETURNING ctid::text")
    sql(f"UPDATE pg_index SET indisready = false WHERE indexrelid = {index}")
    sql(f"DELETE FROM {table} WHERE ctid = '{place}'")
    sql(vacuum)
    sql(f"UPDATE pg_class SET relhasindex = true WHERE oid = '{table}'::regclass")
    if own_entry:
        sql(f"UPDATE pg_index SET indisready = true WHERE indexrelid = {index}")
    sql(f"DELETE FROM {table} WHERE {row}")
    assert sql(f"INSERT INTO {table} SELECT * FROM kept RETURNING ctid::text") == [(place,)]
    sql(f"UPDATE pg_index SET indisready = true WHERE indexrelid = {index}")
    sql("DROP TABLE kept")


def verified(database: Database, log: SealedLog) -> Report:
    return database.read(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("table", "keys", "row", "changed"),
    [
        (
            EVENTS,
            "jti",
            "jti = '00000000000000000000000000000001'",
            {"id": "1000000", "jti": "'00000000000000000000000000000007'"},
        ),
        pytest.param(EVENTS, "id, at", "id = 3", {"id": "12"}, marks=pytest.mark.soak),
        pytest.param(
            "event_delegations",
            "delegation_id, event_id",
            "event_id = 2",
            {"delegation_id": "'d-9'"},
            marks=pytest.mark.soak,
        ),
        ("hourly_counts", "hour, kind, reason", "reason = '' AND hour = '2026-11-25 12:00+00'", {"reason": "'zz'"}),
    ],
    ids=["the id of a token", "the number of an event", "a delegation", "a count"],
)
def test_an_entry_that_leads_to_another_row_is_found(
    database: Database, sql: Sql, table: str, keys: str, row: str, changed: dict[str, str]
) -> None:
    log = fill(database)
    mislead(sql, table, keys, row, changed)
    report = verified(database, log)
    assert "is damaged: an entry leads to a wrong row, or to no row" in "\n".join(report.findings)


@pytest.mark.soak  # entries that lead elsewhere are in every run
@pytest.mark.parametrize(
    ("table", "keys", "row", "changed"),
    some_rows_of(
        [
            (
                EVENTS,
                "jti",
                "jti = '00000000000000000000000000000007'",
                {"id": "1000000", "jti": "'00000000000000000000000000000007a'"},
            ),
            (
                "event_delegations",
                "delegation_id, event_id",
                "delegation_id = 'd-3' AND event_id = 4",
                {"event_id": "5"},
            ),
        ],
        each=2,
    ),
    ids=["the id of a token", "a delegation's event"],
)
def test_a_stored_key_that_is_not_its_rows_key_is_found_without_amcheck(
    database: Database, sql: Sql, table: str, keys: str, row: str, changed: dict[str, str]
) -> None:
    log = fill(database)
    mislead(sql, table, keys, row, changed, own_entry=False)
    report = verified(database, log)
    assert "is damaged: its keys differ from the keys of the table" in "\n".join(report.findings)


def test_an_index_that_lacks_a_row_is_found_without_amcheck(database: Database, sql: Sql) -> None:
    log = fill(database)
    sql(f"CREATE TABLE kept AS SELECT * FROM {EVENTS} WHERE jti = '00000000000000000000000000000004'")
    ready = f"WHERE indexrelid = '{EVENTS}_jti_idx'::regclass"
    sql(f"UPDATE pg_index SET indisready = false {ready}")
    sql(f"DELETE FROM {EVENTS} WHERE jti = '00000000000000000000000000000004'")
    sql(f"INSERT INTO {EVENTS} SELECT * FROM kept")
    sql(f"UPDATE pg_index SET indisready = true {ready}")
    sql("DROP TABLE kept")
    report = verified(database, log)
    assert f"The index {EVENTS}_jti_idx is damaged: it leads to" in "\n".join(report.findings)
    assert "amcheck is missing" in report.unchecked[0]


@pytest.mark.soak  # entries that lead elsewhere are in every run
def test_an_index_is_followed_whatever_its_statistics_say(database: Database, sql: Sql) -> None:
    log = fill(database)
    sql("UPDATE pg_class SET reltuples = 1e9, relpages = 1 WHERE relkind = 'i' AND relname LIKE 'events%'")
    mislead(sql, EVENTS, "id, at", "id = 3", {"id": "12"})
    sql("UPDATE pg_class SET reltuples = 1, relpages = 1000000 WHERE relname LIKE '%events_default%'")
    report = verified(database, log)
    assert "is damaged: an entry leads to a wrong row" in "\n".join(report.findings)
    assert not any("does not follow" in each for each in report.unchecked)


def test_no_event_is_shown_for_another(database: Database, database_url: str, sql: Sql) -> None:
    fill(database)
    mislead(sql, EVENTS, "id, at", "id = 4", {"id": "12"})
    for setting in ("enable_seqscan = off", "enable_bitmapscan = off"):
        sql(f"ALTER DATABASE {make_url(database_url).database} SET {setting}")
    database.close()  # the sessions that are open keep their settings
    with pytest.raises(Conflict, match="the event of event 12, and the database returned another event"):
        database.read(lambda tx: audit.event(tx, ANN, 12))
