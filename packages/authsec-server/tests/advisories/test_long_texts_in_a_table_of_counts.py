"""Raw SQL writes very many values of many megabytes into a table of counts.

SQLite stores a text of any length. On PostgreSQL, the owner of a table first drops the indexes, and gives a column the
type `text`. `verify` names the column, and holds the beginning of such a value.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from long_runs import some_rows_of
from sqlalchemy import text

LENGTH, BOUND = 1_000_000, 10_000_000
COLUMNS = {
    ("hourly_counts", "reason"): "(hour, kind, reason, occurrences) VALUES ({at}, 'token.refused', {long}, 1)",
    ("hourly_counts", "occurrences"): "(hour, kind, reason, occurrences) VALUES ({at}, 'token.refused', '{n}', {long})",
    ("last_uses", "refused_reason"): "(month, subject_id, refused_reason) VALUES ({at}, 's{n}', {long})",
}


@pytest.mark.soak
@pytest.mark.parametrize(("column", "row"), some_rows_of(COLUMNS.items()), ids=map(".".join, COLUMNS))
def test_the_memory_is_bounded(database: Database, column: tuple[str, str], row: str) -> None:
    table, name = column
    log = fill(database)

    def run(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement)) and None)

    def check() -> Sequence[str]:
        return database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER)).findings

    on_postgresql = database.read(lambda tx: tx.connection.dialect.name) == "postgresql"
    at = "'2026-11-01 00:00:00.000000" + ("+00'" if on_postgresql else "'")
    long = f"repeat('x', {LENGTH})" if on_postgresql else f"printf('%.*c', {LENGTH}, 'x')"
    if on_postgresql:
        run(f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}")
        others = f"SELECT indexname FROM pg_indexes WHERE tablename = '{table}' AND schemaname = current_schema()"
        for index in database.read(lambda tx: [*tx.connection.execute(text(others)).scalars()]):
            run(f"DROP INDEX {index}")
        run(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE text")
    for n in range(30):
        run(f"INSERT INTO {table} {row.format(at=at, n=n, long=f'{long} || {n}')}")
    check()  # which imports modules, and builds statements
    tracemalloc.start()
    try:
        findings = check()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any(finding.startswith(f"{table} has a row that no server writes: ") for finding in findings)
    assert peak < BOUND, f"{peak:,}"
