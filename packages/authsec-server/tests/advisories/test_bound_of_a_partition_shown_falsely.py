"""A superuser gives a partition another bound, which PostgreSQL shows with the same text.

The bound is copied from a table that is partitioned by a text. PostgreSQL takes the address of that text for a time. So
a filter by time leaves the partition out, and every event in it.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, NOW, answers, fill
from authsec_server.audit.partitions import prepare_months
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx

MONTH = "events_2026_11"
TRICK = (
    "CREATE SCHEMA evil",
    "CREATE TABLE evil.months (at text) PARTITION BY RANGE (at)",
    "CREATE TABLE evil.month PARTITION OF evil.months"
    " FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')",
    "UPDATE pg_class SET relpartbound = (SELECT relpartbound FROM pg_class WHERE oid = 'evil.month'::regclass)"
    f" WHERE oid = 'public.{MONTH}'::regclass",
    "UPDATE pg_class SET relname = relname WHERE oid = 'public.events'::regclass",  # this session reads it again
    "DROP SCHEMA evil CASCADE",
)


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_system_catalog_changed.py has other tricks
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_bound_of_another_type_with_the_same_text_is_found(database: Database) -> None:
    log = fill(database)
    changed: list[str] = []
    findings: list[str] = []

    def attempt(tx: Tx) -> None:
        prepare_months(tx.connection, NOW)
        for statement in TRICK:
            tx.connection.exec_driver_sql(statement)
        found = answers(tx, log.covered)
        changed.extend(name for name in found if found[name] != log.answers[name])
        report = verify(tx, log.keys, [log.checkpoint], now=LATER)
        findings.extend([*report.findings, *report.skipped])
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert changed  # else the trick hides nothing
    print(findings)
    assert f"The partition {MONTH} is not what AuthSec expects" in "\n".join(findings), changed
