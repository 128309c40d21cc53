"""The statements that compare the SQLite file's searches with its scans: each must search as readers do."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from audit_answers import fill
from authsec_server.db import Database, Tx
from authsec_server.db.catalog import OBJECTS, genuine_objects, listing_of, reference_listing
from authsec_server.db.sqlite_index_check import index_findings
from authsec_server.db.sqlite_reading import sqlite_driver_of
from sqlalchemy import Connection, TextClause, text

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LONG = 8_000_000  # octets of a key that no server writes
ROWIDS_ALONE = {"ix_events_act_id"}  # a scan takes the rowid from the index, and the condition's column from the table


def searched(connection: Connection) -> list[str]:
    """What the check finds in all tables, whose definitions are those that the migrations make."""
    genuine = genuine_objects(listing_of(connection), reference_listing("sqlite")[OBJECTS])
    tables = [name.removeprefix("table ") for name in genuine if name.startswith("table ")]
    return [each for table in tables for each in index_findings(connection, table, genuine)]


def plans(tx: Tx) -> dict[str, list[str]]:
    """How SQLite runs each statement of the check, by the statement."""
    statements: list[str] = []
    driver = sqlite_driver_of(tx.connection)
    driver.set_trace_callback(statements.append)
    assert searched(tx.connection) == []
    driver.set_trace_callback(None)
    explained = (each for each in statements if "INDEXED" in each)
    return {
        each: [row.detail for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}")] for each in explained
    }


def test_each_search_has_the_whole_key_and_each_scan_reads_the_index_alone(database: Database) -> None:
    fill(database)
    found = database.read(plans)
    assert len(found) > 200
    for statement, plan in found.items():
        steps = [each for each in plan if re.match(r"(SCAN|SEARCH) \w\w", each)]  # of a table, not of a subquery
        index = re.search(r'INDEXED BY "(\w+)"', statement)
        if index is not None and index[1] == "sqlite_autoindex_event_delegations_1":  # the table itself
            assert not any(" INDEX " in each for each in steps), (statement, plan)
        elif index is not None and index[1] not in ROWIDS_ALONE:
            assert all(f"USING COVERING INDEX {index[1]}" in each for each in steps), (statement, plan)
        assert "TEMP B-TREE" not in "".join(plan)
        if " IS NOT e." in statement and " x " not in statement:
            *others, lower, upper = re.findall(r"\w+([=<>])\?", steps[-1])
            assert (lower, upper) == (">", "<"), (statement, plan)
            assert len(others) == len(re.findall(r" IS e\.", statement)), (statement, plan)


def test_every_table_and_index_is_checked(database: Database) -> None:
    found = " ".join(database.read(plans))
    names = database.read(
        lambda tx: tx.connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE rootpage > 0").scalars().all()
    )
    assert [name for name in names if f'"{name}"' not in found] == []


@pytest.mark.soak  # it measures memory
def test_keys_that_no_server_writes_cost_no_memory(database: Database) -> None:
    fill(database)
    insert = text(
        "INSERT INTO roles (id, slug, name, description, created_at)"
        " VALUES (printf('%036d', :number), printf('%d%.*c', :number, :length, 'x'), '', '', '')"
    )
    for number in range(10):
        database.append(partial(execute, insert, {"number": number, "length": LONG}))
    tracemalloc.start()
    try:
        assert database.read(lambda tx: searched(tx.connection)) == []
        assert tracemalloc.get_traced_memory()[1] < 4 * LONG
    finally:
        tracemalloc.stop()


def execute(statement: TextClause, values: Mapping[str, Any], tx: Tx) -> None:
    tx.connection.execute(statement, values)
