"""An attacker makes a table in another schema of the PostgreSQL database, and adds long constraints to it.

The attacker needs no right on AuthSec's tables.

Before its commit, each change looks for code of others in the constraints, defaults and indexes of AuthSec's tables.
PostgreSQL compared the expressions of all tables of the database with the pattern first. A constraint of a hundred
thousand numbers is 15 MB of text, and 0.4 MB on the disk. With a hundred and twenty of them, each change took longer
than the fifteen seconds that a statement may take: nothing could be revoked, and no key could be replaced.
"""

from __future__ import annotations

import pytest
from authsec_server.db import Database, Tx
from authsec_server.db.interference import refuse_foreign_code
from authsec_server.failures import Unavailable
from sqlalchemy import event

NUMBERS = ",".join(f"'{each}'" for each in range(100_000))
LONG = f"ADD CONSTRAINT long CHECK ({{}} NOT IN ({NUMBERS}))"
MADE = ("CREATE SCHEMA other", "CREATE TABLE other.long (a text)", f"ALTER TABLE other.long {LONG.format('a')}")


def pages_read(database: Database) -> int:
    """Return how many pages PostgreSQL reads in order to look for code of others."""

    def look(tx: Tx) -> int:
        asked = list[str]()
        event.listen(tx.connection, "before_cursor_execute", lambda *each: asked.append(each[2]))
        refuse_foreign_code(tx.connection)
        plan = tx.connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {asked[-1]}").scalar_one()
        return int(plan[0]["Plan"]["Shared Hit Blocks"]) + int(plan[0]["Plan"]["Shared Read Blocks"])

    return database.read(look)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_constraints_of_another_schema_are_not_read(database: Database) -> None:
    pages_read(database)  # in a new session, PostgreSQL reads its catalogs as well
    before = pages_read(database)
    for each in MADE:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    assert pages_read(database) < before + 20


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_long_constraint_of_our_table_is_refused_unread(database: Database) -> None:
    database.append(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE clients {LONG.format('owner')}") and None)
    with pytest.raises(Unavailable, match="constraint long of clients"):
        database.change(lambda _: None)
