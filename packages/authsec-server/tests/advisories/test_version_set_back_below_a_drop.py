"""Raw SQL sets the authority's version far back, below the versions of dropped events, while an operator revokes a key.

Between events up to the version of a drop, `verify` accepts gaps in the chain of digests: other events may have been
dropped there. The revocation gets such a version. Raw SQL restores the version before a checkpoint is signed, and
undoes the change of the row. The event of the drop has a higher version, and the digests of the rows before the
revocation: these are the last ones in the chain, and match. The event of the revocation is sealed, and has no effect.

No token may have been issued since the months that were dropped: otherwise its version tells. The process that revokes
has not seen the version before, as a command with `--data`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import admin_keys
from authsec_server.audit.rollup import roll_up
from authsec_server.clients import service as clients
from authsec_server.db import Database, open_database
from authsec_server.principal import Role
from long_runs import some_of
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


@dataclass(frozen=True)
class Revocation:
    """An honest revocation, how raw SQL undoes it, and whether it has no effect."""

    table: str
    revoke: Callable[[Any, Any], Any]
    is_undone: Callable[[Any, Any], bool]


REVOCATIONS = {
    "an admin key": Revocation(
        "admin_keys",
        lambda tx, act: admin_keys.revoke(tx, act, "stolen"),
        lambda tx, act: admin_keys.get(tx, act, "stolen").revoked_at is None,
    ),
    "an agent": Revocation(
        "clients",
        lambda tx, act: clients.disable(tx, act, "helper"),
        lambda tx, act: clients.get(tx, act, "helper").enabled,
    ),
}


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
@pytest.mark.parametrize("its", some_of(REVOCATIONS.values(), each=2), ids=REVOCATIONS)
def test_a_revocation_has_its_effect_or_its_undoing_is_found(
    database: Database, database_url: str, its: Revocation
) -> None:
    year = Year(database)
    year.do(lambda tx, act: admin_keys.create(tx, act, name="stolen", role=Role.ADMIN))
    year.settle()
    year.at = midnight(9) + timedelta(minutes=4)
    roll_up(year.database, year.at)
    year.drop(9)
    assert year.report().findings == ()
    version = year.database.read(lambda tx: tx.version)
    rows = (f"CREATE TABLE kept AS SELECT * FROM {its.table}", "CREATE TABLE products AS SELECT * FROM table_digests")
    for each in (*rows, "UPDATE authority SET version = 1"):
        year.run(each)
    other = open_database(database_url)  # a command on the server's machine
    other.change(lambda tx: its.revoke(tx, year.act))
    other.close()
    year.run(f"UPDATE authority SET version = {version}")  # before the revocation is sealed
    year.settle()
    assignments = ", ".join(
        f"{each} = (SELECT k.{each} FROM kept k WHERE k.id = {its.table}.id)" for each in _columns(year, its.table)
    )
    year.run(f"UPDATE {its.table} SET {assignments}")
    year.run("UPDATE table_digests SET product = (SELECT p.product FROM products p WHERE p.name = table_digests.name)")
    for each in ("DROP TABLE kept", "DROP TABLE products"):
        year.run(each)
    year.settle()
    assert year.database.read(lambda tx: its.is_undone(tx, year.act))
    assert year.report().findings != ()


def _columns(year: Year, table: str) -> list[str]:
    statement = text(f"SELECT * FROM {table} LIMIT 0")
    return year.database.read(lambda tx: list(tx.connection.execute(statement).keys()))
