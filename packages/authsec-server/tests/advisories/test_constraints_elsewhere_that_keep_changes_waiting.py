"""Somebody who may only make tables in another schema of the PostgreSQL database adds long constraints to one.

Before its commit, each change looks for code of others in the constraints, defaults and indexes of AuthSec's tables.
PostgreSQL compares the expressions of all tables of the database with the pattern first. A constraint of a hundred
thousand numbers is 15 MB of text, and 0.4 MB on the disk. With a hundred and twenty of them, each change takes longer
than the fifteen seconds that a statement may take: nothing can be revoked, and no key can be replaced.
"""

from __future__ import annotations

from time import perf_counter

import pytest
from authsec_server.db import Database

NUMBERS = ",".join(map(str, range(100_000)))
MADE = (
    "CREATE SCHEMA other",
    "CREATE TABLE other.long (a integer)",
    *(f"ALTER TABLE other.long ADD CONSTRAINT long_{each} CHECK (a IN ({NUMBERS}))" for each in range(12)),
)


@pytest.mark.xfail(strict=True, reason="the expressions of all tables are compared")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_constraints_of_another_schema_make_no_change_slow(database: Database) -> None:
    for each in MADE:
        database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)
    database.change(lambda _: None)
    begun = perf_counter()
    database.change(lambda _: None)
    assert perf_counter() - begun < 0.2
