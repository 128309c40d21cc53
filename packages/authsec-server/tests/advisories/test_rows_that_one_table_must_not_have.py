"""Raw SQL writes very many rows into `counted` or `authority`, which must have one row each.

On PostgreSQL, the owner of the tables drops the constraints first. `verify` reports the constraints, and reads the
tables all the same. To count the rows, it holds none of them in memory.
"""

from __future__ import annotations

import tracemalloc

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from sqlalchemy import text

ROWS = {"counted": 20_000, "authority": 250_000}
BOUND = 1_500_000  # octets of a second check


@pytest.mark.parametrize("table", ["counted", pytest.param("authority", marks=pytest.mark.soak)])
def test_the_memory_is_bounded(database: Database, table: str) -> None:
    if database.read(lambda tx: tx.connection.dialect.name) != "postgresql":
        pytest.skip("SQLite: step 1 refuses a table with another definition")
    log = fill(database)

    def run(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement)) and None)

    def check() -> tuple[str, ...]:
        return database.check(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER)).findings

    constraints = f"SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype <> 'n'"
    for name in database.read(lambda tx: [*tx.connection.execute(text(constraints)).scalars()]):
        run(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE")
    run(f"INSERT INTO {table} SELECT t.* FROM {table} t, generate_series(1, {ROWS[table]})")
    findings = check()
    tracemalloc.start()
    try:
        check()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any("must have one" in finding for finding in findings)
    assert peak < BOUND, f"{peak:,}"
