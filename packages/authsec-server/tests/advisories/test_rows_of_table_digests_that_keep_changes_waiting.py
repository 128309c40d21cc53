"""Raw SQL inserts rows into `table_digests` under names that no table has, or a product of many megabytes.

Each change once read all of them under the exclusive lock. So nobody could revoke anything, and tokens waited. `verify`
held all of them in memory, and said nothing about them.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import service as clients
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import text

T = TypeVar("T")
MOST = 5_000_000  # octets
ROWS = 60_000  # in memory they would take twice as many octets
LONG = {
    "sqlite": "UPDATE table_digests SET product = zeroblob(20000000) WHERE name = 'clients'",
    "postgresql": "UPDATE table_digests SET product = decode(repeat('00', 20000000), 'hex') WHERE name = 'clients'",
}
MANY = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
    " INSERT INTO table_digests SELECT 'x' || i, x'01' FROM n",
    "postgresql": f"INSERT INTO table_digests SELECT 'x' || i, '' FROM generate_series(1, {ROWS}) i",
}


def peak_of(work: Callable[[], T]) -> tuple[T, int]:
    """Do the work, and return its result and the most octets that Python held meanwhile."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def report(its: Sealed, estate: Any) -> Report:
    now = estate.act.now + timedelta(minutes=10)
    its.seal()
    return estate.database.check(lambda tx: verify_log(tx, its.keys.by_kid(), now=now))


@pytest.mark.parametrize("planted", [LONG, pytest.param(MANY, marks=pytest.mark.soak)], ids=["long", "many"])
def test_a_change_reads_none_of_them_and_verify_reports_them(estate: Any, planted: dict[str, str]) -> None:
    its = sealed_estate(estate)
    _, most = peak_of(lambda: estate.do(lambda tx, act: clients.disable(tx, act, "helper")))
    assert most < MOST
    estate.do(lambda tx, act: clients.enable(tx, act, "helper"))
    estate.database.append(lambda tx: tx.connection.execute(text(planted[estate.database.dialect])))
    _, most = peak_of(lambda: estate.do(lambda tx, act: clients.disable(tx, act, "helper")))
    assert most < MOST
    found = "\n".join(report(its, estate).findings)
    assert f"table_digests has {ROWS:,} rows of no table" in found or "Rows of clients were changed" in found


@pytest.mark.postgresql_suffices
def test_verify_holds_few_of_them_in_memory(estate: Any) -> None:
    its = sealed_estate(estate)
    _, few = peak_of(lambda: report(its, estate))
    estate.database.append(lambda tx: tx.connection.execute(text(MANY[estate.database.dialect])))
    checked, many = peak_of(lambda: report(its, estate))
    assert checked.findings == (f"table_digests has {ROWS:,} rows of no table: raw SQL inserted them.",)
    assert many < few + MOST
