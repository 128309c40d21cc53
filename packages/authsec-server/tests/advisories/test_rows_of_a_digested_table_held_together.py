"""Somebody writes long texts into many rows of a table with a digest, in an SQLite file.

A value of two million characters is not too long for a digest, and a row has several of them. If `verify` on SQLite
read a hundred rows at once, all texts of a hundred agents would take more than a gigabyte.
"""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.audit.unreadable_rows import MOST_BYTES
from authsec_server.db import Database
from authsec_server.db.table_digests import LONGEST

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
INSERT = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24)
INSERT INTO roles (id, slug, name, description, created_at)
SELECT 'role-long-' || i, 'long-' || i, printf('%.*c', :long, 'x'), printf('%.*c', :long, 'x'),
    '2026-11-25 12:00:00.000000'
FROM n
"""


@pytest.mark.soak  # test_rows_of_table_digests_that_keep_changes_waiting.py has the memory of such a check
def test_long_rows_of_a_digested_table_fill_no_memory(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT, {"long": LONGEST}) and None)
    tracemalloc.start()
    try:
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER + timedelta(minutes=11)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.findings
    assert peak < 4 * MOST_BYTES
