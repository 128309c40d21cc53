"""Raw SQL takes a live delegation away while somebody deletes its role, and puts the delegation back.

The server refuses to delete a role that a live delegation uses, and found none. SQLite checks foreign keys only for
connections that ask for it, and PostgreSQL does not check them in a session of a replica. Afterwards the delegation
names a role that does not exist, and its digest is that of the last recorded change. If token requests failed by this
delegation, the agent would get no token at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import service as clients
from authsec_server.db import metadata
from authsec_server.db.catalog import foreign_keys
from authsec_server.delegations import service as delegations
from sealed_estate import sealed_estate

Execute = Callable[..., None]
UNCHECKED = {  # how the next statements of a transaction skip the comparison of foreign keys
    "sqlite": "PRAGMA defer_foreign_keys = ON",
    "postgresql": "SET LOCAL session_replication_role = replica",
}


@pytest.fixture
def execute(database_url: str) -> Execute:
    """Execute statements in a session that compares no foreign keys."""

    def on_sqlite(*statements: str) -> None:
        with closing(sqlite3.connect(database_url.partition("///")[2], isolation_level=None)) as connection:
            for each in statements:
                connection.execute(each)

    def on_postgresql(*statements: str) -> None:
        with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
            for each in ("SET session_replication_role = replica", *statements):
                connection.execute(each.encode())

    return on_sqlite if database_url.startswith("sqlite") else on_postgresql


@pytest.mark.sqlite_suffices  # the test of a missing row has PostgreSQL
def test_a_delegation_without_a_role_is_found(estate: Any, execute: Execute) -> None:
    sealed = sealed_estate(estate)
    role = estate.see(lambda tx, act: delegations.get(tx, act, "first", estate.terms)).role
    execute(
        "CREATE TABLE kept AS SELECT * FROM delegations",
        "CREATE TABLE kept_too AS SELECT * FROM delegation_audiences",
        "DELETE FROM delegation_audiences",
        "DELETE FROM delegations",
    )
    estate.do(lambda tx, act: delegations.delete_role(tx, act, "support"))
    execute(
        "INSERT INTO delegations SELECT * FROM kept",
        "INSERT INTO delegation_audiences SELECT * FROM kept_too",
        "DROP TABLE kept",
        "DROP TABLE kept_too",
    )
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())
    later = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=later))
    helper = estate.see(lambda tx, act: clients.get(tx, act, "helper"))
    assert report.findings == (f"Rows of delegations have the role_id {role.id}, but roles has no such row.",)
    assert estate.see(lambda tx, _: delegations.of_client(tx, helper.id)) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("delegations", "role_id"),
        pytest.param("delegations", "client_id", marks=pytest.mark.sqlite_suffices),
        pytest.param("delegation_audiences", "delegation_id", marks=pytest.mark.sqlite_suffices),
        pytest.param("role_actions", "role_id", marks=pytest.mark.sqlite_suffices),
        pytest.param("proofs", "client_id", marks=pytest.mark.sqlite_suffices),
        ("proofs", "trusted_issuer_id"),
        pytest.param("setup_links", "administrator_id", marks=pytest.mark.sqlite_suffices),
    ],
)
@pytest.mark.changes_rows_only
def test_a_missing_row_is_found(estate: Any, table: str, column: str) -> None:
    sealed = sealed_estate(estate)
    one = f"UPDATE {table} SET {column} = 'nobody' WHERE id = (SELECT min(id) FROM {table})"
    of_one = f"UPDATE {table} SET {column} = 'nobody' WHERE {column} = (SELECT min({column}) FROM {table})"
    _, found = sealed.after(UNCHECKED[estate.database.dialect], one if table == "proofs" else of_one)
    assert f"Rows of {table} have the {column} nobody, but " in found


@pytest.mark.sqlite_suffices
@pytest.mark.changes_rows_only
def test_many_missing_rows_are_counted(estate: Any) -> None:
    sealed = sealed_estate(estate)
    rows = ", ".join(f"('r{number}', 'a:b')" for number in range(7))
    _, found = sealed.after(
        UNCHECKED[estate.database.dialect],
        f"INSERT INTO role_actions (role_id, action) VALUES {rows}",
    )
    assert "Rows of role_actions refer to 2 more rows of roles that are missing." in found


def test_every_foreign_key_is_compared() -> None:
    declared = {
        (table.name, each.parent.name, each.column.table.name, each.column.name, each.ondelete == "CASCADE")
        for table in metadata.tables.values()
        for each in table.foreign_keys
    }
    assert {tuple(each) for each in foreign_keys()} == declared
