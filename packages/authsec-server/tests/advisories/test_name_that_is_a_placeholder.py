"""Raw SQL gives a partition or the schema a name that SQLAlchemy or the driver takes for a parameter.

SQLAlchemy takes `:y` for a parameter: `verify` ended with an error that names nothing. psycopg takes `%b` for a
placeholder: the error was taken for a missing table, so `verify` held no table in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Tx, open_database
from authsec_server.db.postgresql_catalog import hold_tables
from copied_log import AMCHECK
from long_runs import some_of
from sealed_estate import Undone, sealed_estate
from sqlalchemy import create_engine

HELD = (
    "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " WHERE c.relname = 'clients' AND l.mode = 'AccessShareLock' AND l.pid = pg_backend_pid()"
)
NAMES = ("events %b :y", "a :b", "a%b")

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def renamed(estate: Any, database_url: str) -> Iterator[Callable[[str], None]]:
    """Renames the schema with AuthSec's tables. Afterwards, the schema gets its name back."""
    engine, names = create_engine(database_url, isolation_level="AUTOCOMMIT"), ["public"]

    def run(before: str, after: str) -> None:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            old, new = (name.replace('"', '""') for name in (before, after))
            driver.execute(f'ALTER SCHEMA "{old}" RENAME TO "{new}"'.encode())

    def rename(name: str) -> None:
        estate.database.close()
        run(names[-1], name)
        names.append(name)

    yield rename
    run(names[-1], "public")
    engine.dispose()


@pytest.mark.parametrize("name", some_of(NAMES))
def test_a_partition_of_any_name_is_named(estate: Any, name: str) -> None:
    sealed, reports = sealed_estate(estate), list[Report]()
    keys = sealed.keys.by_kid()
    extension = AMCHECK[1].replace("SCHEMA amcheck", f'SCHEMA "{name}"')
    made = f"CREATE TABLE \"{name}\" PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"

    def work(tx: Tx) -> None:
        driver: Any = tx.connection.connection.driver_connection
        for statement in (f'CREATE SCHEMA "{name}"', extension, made):
            driver.execute(statement.encode())
        reports.append(verify(tx, keys, now=estate.act.now))
        raise Undone

    with pytest.raises(Undone):
        estate.database.append(work)
    assert any(f"The partition {name} is unknown to AuthSec" in each for each in reports[0].findings)


@pytest.mark.parametrize("name", some_of(("a%b :c", "order", 'a"b')))
def test_the_tables_of_a_schema_of_any_name_are_held_and_verified(
    estate: Any, database_url: str, renamed: Callable[[str], None], name: str
) -> None:
    sealed = sealed_estate(estate)
    keys = sealed.keys.by_kid()
    before = estate.database.check(lambda tx: verify(tx, keys, now=estate.act.now))
    renamed(name)

    def work(tx: Tx) -> tuple[int, Report]:
        hold_tables(tx.connection, ["clients"])
        held = tx.connection.exec_driver_sql(HELD).scalar_one()
        return held, verify(tx, keys, now=estate.act.now)

    with closing(open_database(database_url)) as database:
        held, report = database.check(work)
    assert (held, report.findings, report.skipped) == (1, before.findings, before.skipped)
