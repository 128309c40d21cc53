"""Raw SQL deletes a row while an honest change of the same row waits for it, and inserts the row again afterwards.

The change has read the delegation. When it locks the row, PostgreSQL has none left, so its `UPDATE` would write no row.
The revocation would be acknowledged and recorded, and its event would have no digest, for no row was changed.
Afterwards the row is back as it was: the delegation would be live and its agent get new tokens, or a stolen admin key
would work again. The digests would match. No trigger and no right of a superuser is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import admin_keys
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database
from authsec_server.delegations import service as delegations
from authsec_server.failures import Failure
from long_runs import some_of
from sealed_estate import sealed_estate

sys.path.insert(0, str(Path(__file__).parent))
from test_row_changed_while_a_change_waits import change_while_held


@dataclass(frozen=True)
class Revoked:
    """A thing to revoke: its row, the tables that refer to the row, and the honest change."""

    table: str
    row: str
    referring: str
    kind: str
    revoke: Callable[[Any, Any, Any], Any]


THINGS = {
    "a delegation": Revoked(
        "delegations",
        "slug = 'first'",
        "delegation_audiences WHERE delegation_id",
        "delegation.revoked",
        lambda tx, act, terms: delegations.revoke(tx, act, "first", terms),
    ),
    "an admin key": Revoked(
        "admin_keys",
        "name = 'ann-key'",
        "sessions WHERE id",  # none
        "admin_key.revoked",
        lambda tx, act, _: admin_keys.revoke(tx, act, "ann-key"),
    ),
}


@pytest.mark.parametrize("thing", some_of(THINGS, each=8))
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_revocation_that_found_no_row_is_refused_or_found(estate: Any, database_url: str, thing: str) -> None:
    sealed, other, its = sealed_estate(estate), open_database(database_url), THINGS[thing]

    def execute(*statements: str) -> None:
        for each in statements:
            other.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    def revoke() -> None:
        with suppress(Failure):  # a change that is refused has no effect
            estate.do(lambda tx, act: its.revoke(tx, act, estate.terms))

    execute(
        f"CREATE TABLE kept AS SELECT * FROM {its.table} WHERE {its.row}",
        f"CREATE TABLE kept_too AS SELECT * FROM {its.referring} IN (SELECT id FROM kept)",
    )
    change_while_held(other, f"DELETE FROM {its.table} WHERE {its.row}", revoke)
    execute(
        f"INSERT INTO {its.table} SELECT * FROM kept",
        f"INSERT INTO {its.referring.split()[0]} SELECT * FROM kept_too",
        "DROP TABLE kept, kept_too",
    )
    other.close()
    sealed.seal()
    is_recorded = estate.events()[-1].kind == its.kind
    revoked_at = f"SELECT revoked_at FROM {its.table} WHERE {its.row}"
    is_revoked = estate.see(lambda tx, _: tx.connection.exec_driver_sql(revoked_at).scalar_one()) is not None
    now = estate.act.now + timedelta(minutes=10)
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=now))
    assert not is_recorded or is_revoked or report.findings
