"""Somebody adds a trigger that undoes a part of an honest change, and removes the trigger after the change.

A change computes the digests of its rows after its statements, from what the rows have then. So the digests in the
event include what the trigger wrote, and the chain of digests has no gap. The event says that the delegation was
revoked, and the delegation stays live: its agent gets tokens, and no check finds the row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.failures import Unavailable
from sealed_estate import sealed_estate
from sqlalchemy import text

ADDED = {
    "sqlite": (
        "CREATE TRIGGER kept AFTER UPDATE ON delegations"
        " BEGIN UPDATE delegations SET revoked_at = NULL WHERE id = new.id; END",
    ),
    "postgresql": (
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.revoked_at := NULL; RETURN NEW; END $$",
        "CREATE TRIGGER kept BEFORE UPDATE ON delegations FOR EACH ROW EXECUTE FUNCTION keep()",
    ),
}
REMOVED = {"sqlite": ("DROP TRIGGER kept",), "postgresql": ("DROP FUNCTION keep() CASCADE",)}
REVOKED_AT = text("SELECT revoked_at FROM delegations WHERE slug = 'first'")


def execute(database: Database, statements: tuple[str, ...]) -> None:
    for each in statements:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)


def test_a_trigger_that_undoes_a_revocation_is_refused_or_found(estate: Any) -> None:
    sealed, database = sealed_estate(estate), estate.database
    execute(database, ADDED[database.dialect])
    try:
        estate.do(lambda tx, act: delegations.revoke(tx, act, "first", estate.terms))
    except Unavailable:
        return
    finally:
        execute(database, REMOVED[database.dialect])
    sealed.seal()
    assert estate.events()[-1].kind == "delegation.revoked"
    now = estate.act.now + timedelta(minutes=10)
    report = database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=now))
    is_revoked = database.read(lambda tx: tx.connection.execute(REVOKED_AT).scalar_one()) is not None
    assert is_revoked or report.findings
