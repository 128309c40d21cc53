"""Somebody adds tables with very many columns to AuthSec's schema on PostgreSQL. Each column has a default.

If the comparison of the schema read all defaults for each column, because it uses no index and no hash, its time would
grow with the square: 24,000 columns, made within a second, would take minutes, and 200,000 would take hours. If it held
each default, long ones would exhaust its memory, while the database keeps a few octets.
"""

from __future__ import annotations

import tracemalloc

import pytest
from authsec_server.db import Database, Tx
from authsec_server.db.catalog import schema_findings
from long_runs import some_of

COLUMNS = 400
FEW, LONG = 100, 50_000
PASSES = 10  # over all defaults: more than a comparison needs, and few beside one for each column


@pytest.mark.parametrize("table", some_of(["more", "checkpoints"], each=2))
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_comparison_reads_each_default_a_few_times(database: Database, table: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql("CREATE TABLE more ()") and None)
    columns = ", ".join(f"ADD c{number} integer DEFAULT 1" for number in range(COLUMNS))
    database.append(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE {table} {columns}") and None)

    def compare(tx: Tx) -> tuple[list[str], int, int]:
        sql = tx.connection.exec_driver_sql
        found = schema_findings(tx.connection)
        read = sql("SELECT pg_stat_get_xact_tuples_returned('pg_attrdef'::regclass)").scalar_one()
        return found, read, sql("SELECT count(*) FROM pg_attrdef").scalar_one()

    found, read, there = database.check(compare)
    assert any("table more" in each for each in found)
    assert read <= PASSES * there


@pytest.mark.soak  # it measures memory; how often defaults are read is in every run
@pytest.mark.parametrize("table", ["more", "checkpoints"])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_comparison_holds_no_long_defaults(database: Database, table: str) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql("CREATE TABLE more ()") and None)
    columns = ", ".join(f"ADD c{number} text DEFAULT '{'x' * LONG}'" for number in range(FEW))
    database.append(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE {table} {columns}") and None)
    tracemalloc.start()
    try:
        found = database.check(lambda tx: schema_findings(tx.connection))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any("table more" in each for each in found)
    assert peak < FEW * LONG
