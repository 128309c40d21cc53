"""The owner of the tables on PostgreSQL drops constraints, and writes very many texts of many megabytes.

A row that is too long for `COPY` is read by a query. `verify` would hold 2,000 such rows at once.
"""

from __future__ import annotations

import tracemalloc

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from long_runs import some_of
from sqlalchemy import text

LENGTH, ROWS, BOUND = 3_000_000, 10, 12_000_000
COLUMNS = ("roles.slug", "revocations.subject_id", "delegations.client_id", "clients.name", "table_digests.name")


@pytest.mark.parametrize("column", some_of(COLUMNS, each=5))
def test_the_memory_is_bounded(database: Database, column: str) -> None:
    if database.read(lambda tx: tx.connection.dialect.name) != "postgresql":
        pytest.skip("SQLite: a query reads no such value")
    log = fill(database)
    table, name = column.split(".")

    def run(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement)) and None)

    def names(query: str) -> list[str]:
        return database.read(lambda tx: [*tx.connection.execute(text(query)).scalars()])

    for each in names(f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype <> 'n'"):
        run(f"ALTER TABLE {table} DROP CONSTRAINT {each} CASCADE")
    for each in names(f"SELECT indexname FROM pg_indexes WHERE tablename = '{table}'"):
        run(f"DROP INDEX IF EXISTS {each}")
    run(f"ALTER TABLE {table} ALTER {name} TYPE text")
    run(f"CREATE TABLE copies AS SELECT t.* FROM (SELECT * FROM {table} LIMIT 1) t, generate_series(1, {ROWS})")
    run(f"UPDATE copies SET {name} = repeat('x', {LENGTH})")
    run(f"INSERT INTO {table} SELECT * FROM copies")
    tracemalloc.start()
    try:
        report = database.check(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.findings
    assert peak < BOUND, f"{peak:,}"
