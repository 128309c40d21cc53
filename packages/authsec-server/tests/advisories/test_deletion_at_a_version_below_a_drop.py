"""Raw SQL sets the version back below a drop, and the stored product aside, while an operator deletes something.

The event of the deletion gets a version of dropped events, so it is the first in the chain of digests. Whatever it says
of the table before, nothing contradicts it. What it says of the table afterwards must be what the event of the drop
says: the table as it was. A deletion divides the product of the table by the number of the deleted row, which anybody
can compute, because no time of the deletion is in it. So raw SQL multiplies the stored product by this number before
the deletion. Afterwards it inserts the row again, and restores the version and the product.

The event is sealed, and a checkpoint outside covers it. It says that the thing is deleted, and the thing is there.
As in `test_version_set_back_below_a_drop`, no token was issued since the dropped months, and the process that deletes
has not seen the version before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.apis import service as apis
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import bindings
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.schema import metadata
from authsec_server.db.table_digests import PRIME, element, stored, stored_products, write_products
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only

CI = ProposedTrustedIssuer(
    name="CI",
    kind="oidc",
    issuer="https://ci.example.com",
    keys_from="discovery",
    claims={"ci:repository": "repository"},
)


@dataclass(frozen=True)
class Deletion:
    """How a thing of this table is created and deleted, and how a test sees that it is there."""

    table: str
    create: Callable[[Any, Any], Any]
    delete: Callable[[Any, Any], Any]
    is_there: Callable[[Any, Any], Any]


DELETIONS = {
    "a trusted issuer": Deletion(
        "trusted_issuers",
        lambda tx, act: issuers.create(tx, act, CI),
        lambda tx, act: bindings.remove_trusted_issuer(tx, act, "ci"),
        lambda tx, act: issuers.get(tx, act, "ci").enabled,
    ),
    "an API": Deletion(
        "apis",
        lambda tx, act: apis.create(tx, act, name="CRM", identifier="crm"),
        lambda tx, act: apis.delete(tx, act, "crm"),
        lambda tx, act: apis.get(tx, act, "crm").identifier == "crm",
    ),
}


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
@pytest.mark.parametrize("its", some_of(DELETIONS.values(), each=2), ids=DELETIONS)
def test_a_deletion_has_its_effect_or_its_undoing_is_found(
    database: Database, database_url: str, its: Deletion
) -> None:
    year = Year(database)
    year.do(its.create)
    year.settle()
    year.at = midnight(9) + timedelta(minutes=4)
    roll_up(year.database, year.at)
    year.drop(9)
    assert year.report().findings == ()
    version = year.database.read(lambda tx: tx.version)

    def product(tx: Tx) -> int:
        return dict(stored_products(tx.connection))[its.table]

    def number(tx: Tx) -> int:
        names = [each.name for each in metadata.tables[its.table].columns]
        (row,) = tx.connection.execute(stored(tx.connection.dialect.name, its.table, names))
        return element(its.table, dict(zip(names, row, strict=True)))

    before = year.database.read(product)
    aside = before * year.database.read(number) % PRIME
    year.run(f"CREATE TABLE kept AS SELECT * FROM {its.table}")
    year.run("UPDATE authority SET version = 1")
    year.database.append(lambda tx: write_products(tx.connection, {its.table: aside}))
    other = open_database(database_url)  # a command on the server's machine
    other.change(lambda tx: its.delete(tx, year.act))
    other.close()
    year.run(f"UPDATE authority SET version = {version}")  # before the deletion is sealed
    year.run(f"INSERT INTO {its.table} SELECT * FROM kept")
    year.run("DROP TABLE kept")
    assert year.database.read(product) == before
    year.settle()
    assert year.database.read(lambda tx: its.is_there(tx, year.act))
    signed = year.database.read(lambda tx: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, year.keys())  # covers the deletion
    given = [KeptExport(f"{at}.jsonl", lines) for at, lines in enumerate(year.files)]
    report = year.database.check(lambda tx: verify(tx, year.keys(), [outside], given, now=year.at))
    assert report.findings != ()
