"""Somebody adds tables with very many columns to AuthSec's schema on PostgreSQL. Each column has a default.

For each column, the comparison of the schema reads all defaults of the database, because it uses no index and no hash.
So the time grows with the square: 24,000 columns, made within a second, take minutes, and 200,000 take hours. After an
hour `verify` ends with status 1 and names nothing. With long defaults, the memory of `verify` grows by 35 kB for each
column, while the database keeps a few octets.
"""

from __future__ import annotations

import pytest
from authsec_server.db import Database, Tx
from authsec_server.db.catalog import schema_findings

COLUMNS = 400
PASSES = 10  # over all defaults: more than a comparison needs, and few beside one for each column


@pytest.mark.xfail(strict=True, reason="the defaults of all columns are read for each column")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_comparison_reads_each_default_a_few_times(database: Database) -> None:
    columns = ", ".join(f"c{number} integer DEFAULT 1" for number in range(COLUMNS))
    database.append(lambda tx: tx.connection.exec_driver_sql(f"CREATE TABLE more ({columns})") and None)

    def compare(tx: Tx) -> tuple[list[str], int, int]:
        sql = tx.connection.exec_driver_sql
        found = schema_findings(tx.connection)
        read = sql("SELECT pg_stat_get_xact_tuples_returned('pg_attrdef'::regclass)").scalar_one()
        return found, read, sql("SELECT count(*) FROM pg_attrdef").scalar_one()

    found, read, there = database.check(compare)
    assert any("table more" in each for each in found)
    assert read <= PASSES * there
