"""The digest of a table is that of its rows, whatever operation of the admin API has changed them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.table_check import kept_digests
from authsec_server.db import Tx, metadata
from authsec_server.db.table_digests import DIGESTED, digest, product_of_rows, stored
from authsec_server.web import openapi
from databases import settings_for
from hypothesis import given
from hypothesis import strategies as st
from one_of_everything import BODIES, Everything, filled

House = Any
VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.binary(max_size=3), st.booleans(), st.floats())
ROWS = st.lists(st.fixed_dictionaries({"id": st.text(max_size=3), "value": VALUES}), max_size=3)


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def computed(tx: Tx) -> dict[str, str]:
    found = {}
    for name, its in DIGESTED.items():
        names = [each.name for each in metadata.tables[name].columns if each.name not in its.without]
        rows = tx.connection.execute(stored(tx.connection.dialect.name, name, names)).mappings()
        found[name] = digest(product_of_rows(name, map(dict, rows)))
    return found


@pytest.mark.sqlite_suffices
def test_every_operation_keeps_the_digests(its: House) -> None:
    everything, door, database = Everything(its, its), its.door(), its.authority.database
    operations = [
        (each["operationId"], method, path)
        for path, methods in door.get(openapi.PATH).json()["paths"].items()
        for method, each in methods.items()
        if method != "get"
    ]
    some = 1 if database.dialect == "sqlite" else 3
    touched = set[str]()
    for name, method, path in islice(operations, 0, None, some):
        before = database.read(lambda tx: dict(kept_digests(Scan(tx.connection))[0]))
        things = everything.things()
        sent: dict[str, Any] = {"headers": {"If-Match": "*"}} if method == "patch" else {}
        if method != "delete":
            sent["json"] = filled(BODIES.get(name, {}), things)
        door.request(method, filled(path, things), **sent)
        after = database.read(lambda tx: dict(kept_digests(Scan(tx.connection))[0]))
        assert after == database.read(computed), name
        touched |= {table for table in after if after[table] != before[table]}
    assert touched >= (set(DIGESTED) if some == 1 else {"clients", "delegations", "roles"})


@pytest.mark.parametrize(
    ("table", "column", "old", "new"),
    [
        ("apis", "signing_algorithm", "RS256", "ES256"),
        ("role_actions", "edit_id", "", "00112233aabbccdd"),
        ("delegations", "require_dpop", "false", "true"),
    ],
)
def test_a_migration_that_adds_a_column_changes_no_digest(table: str, column: str, old: Any, new: Any) -> None:
    """No event could record the new digest. Whoever changes the value later changes the digest."""
    before = {"id": "1", "name": "CRM"}
    after, changed = ({**before, column: its} for its in (old, new))
    assert product_of_rows(table, [after]) == product_of_rows(table, [before])
    assert product_of_rows(table, [changed]) != product_of_rows(table, [before])


def test_both_databases_store_the_same_text_for_a_flag(estate: Any) -> None:
    """PostgreSQL shows a boolean as text, and SQLite has a number: no default would fit both."""
    estate.role("Support", "customers:read")
    estate.agent("Helper")
    for required in (False, True):
        estate.delegate(require_dpop=required)
    dialect = estate.database.dialect
    query = stored(dialect, "delegations", ["require_dpop"])
    found = estate.database.read(lambda tx: sorted(tx.connection.execute(query).scalars()))
    assert found == ["false", "true"]


@given(ROWS, ROWS)
def test_other_rows_have_another_product(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Types are told apart as well: SQLite keeps a value of any type in any column."""
    these, those = (sorted(repr(sorted(row.items())) for row in rows) for rows in (one, other))
    assert (product_of_rows("clients", one) == product_of_rows("clients", other)) == (these == those)
