"""Digests of the tables that decide how readers see events. Each change of authority updates the digests.

The attack: raw SQL changes a delegation's owner, a client's slug or a key's state. Every event still matches
its seal, but readers use these rows to find, name and count events.

The last event of each change records the digests of the changed tables, before and after the change. `verify`
compares each digest in the chain of events with the previous one. `verify` also computes the current digests
of the tables, and compares them with the last digests in the chain. So `verify` finds a write by raw SQL
between two changes. `verify` finds this write even if the later change writes to the same row.

A digest is a MuHash (Bellare and Micciancio, 1997): the product of one number per row, modulo a 3072-bit
prime. So the cost of a change depends only on its own rows, not on the size of the table. `table_digests`
stores the product, but nobody has to trust that table: an event has the product's SHA-256.

The rows of one parent have one number together, and so have all signing keys. The attack: raw SQL takes one action of a
role away, waits until an operator narrows the role, and inserts the action again. With a number for each row, neither
the change nor the digests would notice the row. An edit writes each action and each audience with a random id of the
edit (`edit_id`), so it changes this number even if raw SQL has made the edit before, and undoes the edit afterwards.
Raw SQL cannot write the id in advance.
"""

from __future__ import annotations

import json
import operator
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, shake_256
from importlib import resources
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    String,
    Table,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
)

from authsec_server.db.quoting import quoted
from authsec_server.db.schema import metadata

PRIME: Final = 2**3072 - 1103717
EMPTY: Final = 1  # the product of no rows
_BYTES: Final = 384
LONGEST: Final = 2**21  # characters of a value. A longer one, which no server writes, is cut: `verify` finds it

Digests = Mapping[str, Sequence[str]]
"""For the name of each table: the table's digest before and after a change."""

_digests = Table(
    "table_digests",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("product", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Digested:
    """A table with a digest.

    `parent` is a table and a column. When a parent row is deleted, the database deletes the rows that refer to it
    by the column. `without` are the columns that the digest leaves out. Servers write such columns without a
    change of authority, or the columns do not affect answers about events. All rows with the same values in the columns
    `together` have one number: the rows of one parent, or with no column, all rows of a small table. A change reads
    the other rows of each group that it writes to, so it needs a lock of the table (`WRITTEN_BY_CHANGES`).
    `client` is the column with the id of the client that the row belongs to. The rows decide about no other client.
    """

    key: tuple[str, ...]
    parent: tuple[str, str] | None = None
    without: frozenset[str] = frozenset()
    together: tuple[str, ...] | None = None
    client: str | None = None

    @property
    def is_grouped(self) -> bool:
        """Whether several rows have one number."""
        return self.together is not None

    @property
    def group(self) -> tuple[str, ...]:
        """Return the columns of which each combination of values has one number."""
        return self.key if self.together is None else self.together


DIGESTED: Final[Mapping[str, Digested]] = {
    "clients": Digested(("id",), client="id"),
    "client_labels": Digested(
        ("client_id", "name"), ("clients", "client_id"), together=("client_id",), client="client_id"
    ),
    "proofs": Digested(("id",), ("clients", "client_id"), together=("client_id",), client="client_id"),
    "delegations": Digested(("id",), client="client_id"),
    "delegation_audiences": Digested(
        ("delegation_id", "audience"), ("delegations", "delegation_id"), together=("delegation_id",)
    ),
    "roles": Digested(("id",)),
    "role_actions": Digested(("role_id", "action"), ("roles", "role_id"), together=("role_id",)),
    "apis": Digested(("id",)),
    "api_actions": Digested(("api_id", "action"), ("apis", "api_id"), together=("api_id",)),
    "api_credentials": Digested(("id",), ("apis", "api_id"), frozenset({"last_used_at"})),
    "trusted_issuers": Digested(("id",)),
    "administrators": Digested(
        ("id",),
        without=frozenset(
            {
                *("last_sign_in_at", "password_hash"),
                *("second_factor_sealed", "second_factor_step", "wrong_codes", "wrong_codes_since"),
            }
        ),
    ),
    "admin_keys": Digested(("id",), without=frozenset({"last_used_at"})),
    "signing_keys": Digested(("kid",), without=frozenset({"sealed_private"}), together=()),
}
_NAME: Final = re.compile("[a-z][a-z0-9_]{0,62}")
_USES: Final = {"last_used_at", "last_sign_in_at"}
WRITTEN_BY_CHANGES: Final = tuple(name for name, its in DIGESTED.items() if not its.without & _USES)
"""The tables that servers write only in a change of authority. In the others, they also write times of use."""


def is_column_name(name: str) -> bool:
    """Whether a migration could give a column this name."""
    return _NAME.fullmatch(name) is not None


def stored(dialect: str, name: str, columns: Sequence[str], *, source: Any = None) -> Any:
    """Build a query of these columns as stored: as text on PostgreSQL, in each value's own type on SQLite.

    A value that is too long is replaced by NULL on PostgreSQL and by an empty BLOB on SQLite.
    """
    return select(*(literal_column(_stored(dialect, each)).label(each) for each in columns)).select_from(
        table(name, *map(column, columns)) if source is None else source
    )


def has_long(dialect: str, columns: Sequence[str]) -> ColumnElement[bool]:
    """Return the SQL condition that a value of the row is too long, so that `stored` leaves out the value."""
    return literal_column(" OR ".join(f"coalesce({_is_long(dialect, each)}, false)" for each in columns))


def product_of_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Compute the product of a table from its rows, with the values as stored.

    If several rows have one number together, 32 octets of each row are held in memory.
    """
    if not DIGESTED[name].is_grouped:
        return multiplied(EMPTY, (element(name, row) for row in rows))
    return product_of_groups(sorted(hashes_of_rows(name, rows)))


def hashes_of_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Yield the group of each row, as JSON, and the hash of the row."""
    for row in rows:
        yield json.dumps([_tagged(row.get(each)) for each in DIGESTED[name].group]), row_hash(name, row)


def product_of_groups(hashes: Iterable[tuple[str, bytes]]) -> int:
    """Compute the product of a table from the groups and the hashes of its rows, in ascending order."""
    groups = groupby(hashes, key=operator.itemgetter(0))
    return multiplied(EMPTY, (element_of_group(each for _, each in its) for _, its in groups))


def stored_products(connection: Connection) -> Iterator[tuple[str, int]]:
    """Yield each table with its stored product. A malformed product is some number, as `verify` reports.

    The attack: raw SQL inserts very many rows of other names, or products of gigabytes, so that each change takes long.
    """
    product = _digests.c.product
    short = cast(case((func.length(product) <= _BYTES, product)), LargeBinary)
    statement = select(_digests.c.name, short).where(_digests.c.name.in_(DIGESTED)).limit(len(DIGESTED))
    for name, stored_product in connection.execute(statement):
        yield name, int.from_bytes(stored_product or b"")


def stored_digest(product: Any) -> str:
    """Return the digest of a table from its product as stored; an empty text if the product is malformed."""
    return _sha256(product) if type(product) is bytes and len(product) == _BYTES else ""


def write_products(connection: Connection, products: Mapping[str, int]) -> None:
    """Save the products of these tables."""
    connection.execute(delete(_digests).where(_digests.c.name.in_(list(products))))
    rows = [{"name": name, "product": product.to_bytes(_BYTES)} for name, product in products.items()]
    connection.execute(insert(_digests), rows)


def multiplied(product: int, elements: Iterable[int]) -> int:
    """Multiply the product by these elements, modulo `PRIME`."""
    for each in elements:
        product = product * each % PRIME
    return product


def digest(product: int) -> str:
    """Return the SHA-256 of the product in base64url, which is the digest of the table."""
    return _sha256(product.to_bytes(_BYTES))


def _sha256(octets: bytes) -> str:
    return urlsafe_b64encode(sha256(octets).digest()).rstrip(b"=").decode()


def element(name: str, row: Mapping[str, Any]) -> int:
    """Compute the number of a row that has a number of its own."""
    return _number(shake_256(_text(name, row)).digest(_BYTES))


def row_hash(name: str, row: Mapping[str, Any]) -> bytes:
    """Return the hash of a row that has its number together with other rows."""
    return sha256(_text(name, row)).digest()


def element_of_group(hashes: Iterable[bytes]) -> int:
    """Compute the number of a group from the hashes of its rows, in ascending order."""
    hashed = shake_256(b"rows\n")
    for each in hashes:
        hashed.update(each)
    return _number(hashed.digest(_BYTES))


def _number(octets: bytes) -> int:
    return int.from_bytes(octets) % PRIME or EMPTY


def _text(name: str, row: Mapping[str, Any]) -> bytes:
    later = _later_columns().get(name, {})
    told = sorted((each, _tagged(value)) for each, value in row.items() if each not in later or later[each] != value)
    return json.dumps([name, told], separators=(",", ":")).encode()


def later_columns_of_digests() -> Mapping[str, Mapping[str, Any]]:
    """Return the columns of digests that migrations have added, each with its value in older rows.

    `migrate.upgrade` stores them with the schema, so that an older program computes the same digests
    (`table_changes`).
    """
    without = {name: its.without for name, its in DIGESTED.items()}
    columns = {name: _later_columns().get(name, {}) for name in DIGESTED}
    digested = {name: {each: its[each] for each in its if each not in without[name]} for name, its in columns.items()}
    return {name: its for name, its in digested.items() if its}


@cache
def _later_columns() -> Mapping[str, Mapping[str, Any]]:
    """Return the columns that migrations have added to tables, each with its value in older rows.

    A row with this value keeps its digest from before the migration. A migration is no change, so no event records a
    new digest. `scripts/renew_schema_listings.py` makes the file.
    """
    file = resources.files("authsec_server") / "db" / "listings" / "later_columns.json"
    its: Mapping[str, Mapping[str, Any]] = json.loads(file.read_text("utf-8"))
    return its


def _tagged(value: Any) -> Any:
    """Return the value together with its type, for JSON. SQLite stores a value of any type in any column."""
    return {type(value).__name__: value.hex() if isinstance(value, bytes | float) else value}


def _stored(dialect: str, name: str) -> str:
    quoted = _quoted(dialect, name)
    if dialect == "postgresql":
        return f"CASE WHEN {_is_long(dialect, name)} THEN NULL ELSE {quoted}::text END"
    return f"CASE WHEN {_is_long(dialect, name)} THEN x'' ELSE {quoted} END"


def _is_long(dialect: str, name: str) -> str:
    quoted = _quoted(dialect, name)
    if dialect == "postgresql":
        return f"length({quoted}::text) > {LONGEST}"
    return f"length(CAST({quoted} AS BLOB)) > {LONGEST}"


def _quoted(dialect: str, name: str) -> str:
    """Return the name of a column for SQL. The attack: raw SQL adds a column whose name is a call of a function.

    SQLite takes an unknown name in double quotes for a text, and in backticks for an error.
    """
    return quoted(name, '"' if dialect == "postgresql" else "`")
