"""A superuser of PostgreSQL makes a unique index forget that it is one, and gives a slug to a second thing.

A search by the slug lists the events of whichever row comes first. The lookup refuses a slug that two have, and
`verify` finds it.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict
from long_runs import some_rows_of
from sealed_estate import Sealed, listed, sealed_estate
from sqlalchemy import inspect, text

TWIN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("table", "slug", "query"),
    some_rows_of([("clients", "helper", "client"), ("delegations", "first", "delegation")], each=2),
)
def test_a_slug_of_two_is_found_and_refused(sealed: Sealed, table: str, slug: str, query: str) -> None:
    database: Database = sealed.estate.database
    plant = database.read(lambda tx: _planting(tx, table, slug))
    _, found = sealed.after(*plant)
    assert f'have the slug "{slug}"' in found
    database.append(lambda tx: _run(tx, plant))
    with pytest.raises(Conflict):
        database.read(lambda tx: listed(tx, {query: slug}))


def _planting(tx: Tx, table: str, slug: str) -> tuple[str, ...]:
    columns = [each["name"] for each in inspect(tx.connection).get_columns(table)]
    copied = ", ".join(f"'{TWIN}'" if each == "id" else each for each in columns)
    index = (
        "WHERE indexrelid IN (SELECT i.indexrelid FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
        f" AND a.attnum = i.indkey[0] WHERE i.indrelid = '{table}'::regclass AND a.attname = 'slug' AND i.indnatts = 1)"
    )
    return (
        f"UPDATE pg_index SET indisunique = false {index}",
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table} WHERE slug = '{slug}'",
        f"UPDATE pg_index SET indisunique = true {index}",
    )


def _run(tx: Tx, statements: tuple[str, ...]) -> None:
    for each in statements:
        tx.connection.execute(text(each))
