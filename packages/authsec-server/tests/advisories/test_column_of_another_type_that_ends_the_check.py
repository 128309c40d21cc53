"""The owner of the tables gives a column on PostgreSQL another type.

A check that meets a value of another type would end `verify` with a Python error, which says nothing about the schema.
If the error came while the rows of a table were still copied, `verify` would never end.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from long_runs import some_of
from sqlalchemy import text

AS_OCTETS = "bytea USING convert_to({column}::text, 'UTF8')"
COLUMNS = {
    "hourly_counts.occurrences": "numeric",
    "counted.until": AS_OCTETS,
    "last_uses.month": AS_OCTETS,
    "events.id": "numeric",
    "checkpoints.size": "numeric",
    "number_ranges.lowest": "numeric",
    "revocations.version": "numeric",
    "authority.version": "text",
    "authority.issuer": AS_OCTETS,
    "clients.created_at": AS_OCTETS,
    "admin_keys.last_used_at": AS_OCTETS,
    "feed_keys.kid": AS_OCTETS,
}


@pytest.mark.parametrize("column", some_of([*COLUMNS], each=6))
def test_the_check_names_the_column(database: Database, column: str) -> None:
    if database.read(lambda tx: tx.connection.dialect.name) != "postgresql":
        pytest.skip("SQLite: step 1 refuses a table with another definition")
    log = fill(database)
    table, name = column.split(".")
    type_ = COLUMNS[column].format(column=name)
    for change in (f"ALTER {name} DROP DEFAULT", f"ALTER {name} TYPE {type_}"):
        database.append(lambda tx, its=change: tx.connection.execute(text(f"ALTER TABLE {table} {its}")) and None)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1)))
    assert any(table in finding and name in finding for finding in report.findings), report.findings
