"""One plain UPDATE of a SQLite file ends `verify` with a traceback, so that it names no finding."""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET client_id = CAST(client_id AS BLOB) WHERE id = 2",
        "UPDATE seal_heads SET size = CAST('x' AS BLOB)",
        "UPDATE seal_heads SET size = 'x'",
    ],
    ids=["client_id", "size-blob", "size-text"],
)
def test_a_value_of_another_type_is_a_finding(database: Database, change: str) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(change) and None)
    assert database.read(lambda tx: verify(tx, log.keys, [log.head], now=LATER)).findings
