"""A superuser stores long values in rows of PostgreSQL's catalogs. Compressed, each takes a few hundred kilobytes.

`verify` refuses a row of more than 16 MiB. But it holds all rows of PostgreSQL's own at the same time, in order to sort
them: with 300 rows of 16 MB, it needs five gigabytes, and ends without its findings. The same is true of the statistics
that each new session of a server reads.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from authsec_server.db import Database, Tx
from authsec_server.db.system_catalogs import compare_system_catalogs, foreign_findings
from long_runs import some_of
from sqlalchemy import Connection

pytestmark = pytest.mark.reads_catalog_indexes
ROWS = 16
ALLOWED = 80_000_000  # octets: some rows at once
WAYS: dict[str, tuple[str, Callable[[Connection], object]]] = {
    "defaults of own types": (
        "UPDATE pg_type SET typdefault = repeat('a', 16000000) WHERE oid IN"
        f" (SELECT oid FROM pg_type WHERE oid < 12000 AND typrelid <> 0 ORDER BY oid LIMIT {ROWS})",
        compare_system_catalogs,
    ),
    "sources of own functions": (
        "UPDATE pg_proc SET probin = repeat('a', 16000000) WHERE oid IN"
        " (SELECT oid FROM pg_proc WHERE oid < 12000 AND proname LIKE 'gist_poly%' OR proname LIKE 'brin%'"
        f" LIMIT {ROWS})",
        compare_system_catalogs,
    ),
    "statistics": (
        "INSERT INTO pg_statistic_ext (oid, stxrelid, stxname, stxnamespace, stxowner, stxkeys, stxkind, stxexprs)"
        " SELECT 4000000000 + n, 'public.roles'::regclass, 's' || n, 2200, 10, '1 2', '{d}',"
        f" repeat('a', 16000000)::pg_node_tree FROM generate_series(1, {ROWS}) n",
        foreign_findings,
    ),
}


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_tables_with_very_many_defaults.py has long defaults
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", some_of(WAYS))
def test_rows_of_catalogs_are_not_held_all_at_once(database: Database, way: str) -> None:
    statement, check = WAYS[way]
    peaks: list[int] = []

    def attempt(tx: Tx) -> None:
        tx.connection.exec_driver_sql("SET LOCAL allow_system_table_mods = on")
        tx.connection.exec_driver_sql("CREATE CAST (text AS pg_node_tree) WITHOUT FUNCTION")
        tx.connection.exec_driver_sql(statement.replace("%", "%%"))
        tracemalloc.start()
        try:
            check(tx.connection)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert peaks[0] < ALLOWED
