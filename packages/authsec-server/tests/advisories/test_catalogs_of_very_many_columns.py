"""Somebody makes thousands of wide tables in a schema of their own, where no session of AuthSec looks for tables.

If `verify` kept the name of each of their columns in memory, 10,000 tables of 1,600 columns would cost some four
gigabytes. It keeps eight octets of each.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from authsec_server.db import Database, Tx
from authsec_server.db.postgresql_connection import driver_of
from authsec_server.db.same_names import same_names
from authsec_server.db.table_copy import TableCopies
from long_runs import some_of
from sqlalchemy import Connection

TABLES, COLUMNS = 20, 1600
pytestmark = pytest.mark.reads_catalog_indexes
ALLOWED = 20  # octets for each column, beyond what the check needs without these tables
CHECKS: dict[str, Callable[[Connection], object]] = {
    "the copies of tables": lambda connection: TableCopies(connection).columns("events"),
    "the search for namesakes": lambda connection: list(same_names(driver_of(connection))),
}


class _Undone(Exception):
    pass


def _peak(check: Callable[[Connection], object], connection: Connection) -> int:
    tracemalloc.start()
    try:
        check(connection)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.soak  # test_tables_with_very_many_defaults.py has many rows, too
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("check", some_of(CHECKS, each=2))
def test_columns_of_other_schemas_cost_little_memory(database: Database, check: str) -> None:
    peaks: list[int] = []

    def attempt(tx: Tx) -> None:
        peaks.append(_peak(CHECKS[check], tx.connection))
        columns = ", ".join(f"column_{number} int" for number in range(COLUMNS))
        tx.connection.exec_driver_sql("CREATE SCHEMA others")
        for number in range(TABLES):
            tx.connection.exec_driver_sql(f"CREATE TABLE others.wide_{number} ({columns})")
        peaks.append(_peak(CHECKS[check], tx.connection))
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert peaks[1] - peaks[0] < ALLOWED * TABLES * COLUMNS
