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
"""

from __future__ import annotations

import json
import operator
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, shake_256
from importlib import resources
from typing import Any, Final

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Insert,
    LargeBinary,
    String,
    Table,
    Update,
    and_,
    column,
    delete,
    event,
    insert,
    inspect,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.sql.operators import in_op

from authsec_server.db.matching import in_batches
from authsec_server.db.schema import metadata
from authsec_server.failures import Unavailable

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
    change of authority, or the columns do not affect answers about events.
    """

    key: tuple[str, ...]
    parent: tuple[str, str] | None = None
    without: frozenset[str] = frozenset()


DIGESTED: Final[Mapping[str, Digested]] = {
    "clients": Digested(("id",)),
    "client_labels": Digested(("client_id", "name"), ("clients", "client_id")),
    "proofs": Digested(("id",), ("clients", "client_id")),
    "delegations": Digested(("id",)),
    "delegation_audiences": Digested(("delegation_id", "audience"), ("delegations", "delegation_id")),
    "roles": Digested(("id",)),
    "role_actions": Digested(("role_id", "action"), ("roles", "role_id")),
    "apis": Digested(("id",)),
    "api_actions": Digested(("api_id", "action"), ("apis", "api_id")),
    "api_credentials": Digested(("id",), ("apis", "api_id"), frozenset({"last_used_at"})),
    "trusted_issuers": Digested(("id",)),
    "administrators": Digested(("id",), without=frozenset({"last_sign_in_at", "password_hash"})),
    "admin_keys": Digested(("id",), without=frozenset({"last_used_at"})),
    "signing_keys": Digested(("kid",), without=frozenset({"sealed_private"})),
}


class TableChanges:
    """The rows of digested tables that one change writes. `watching` starts the record, and `settle` ends it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before: dict[str, dict[tuple[Any, ...], int | None]] = {}
        self._after: dict[str, dict[tuple[Any, ...], int]] = {}  # the same rows when their digests were computed
        self._tell: Callable[[Digests], None] | None = None

    @classmethod
    @contextmanager
    def watching(cls, connection: Connection) -> Iterator[TableChanges]:
        """Observe each statement on the connection within this context."""
        changes = cls(connection)
        event.listen(connection, "before_execute", changes._see)
        try:
            yield changes
        finally:
            event.remove(connection, "before_execute", changes._see)

    def tell_by(self, tell: Callable[[Digests], None]) -> None:
        """Call `tell` with the digests at the end of this change. `tell` replaces an earlier function."""
        self._tell = tell

    def settle(self) -> None:
        """Save the products of the changed tables, and pass their digests to the function from `tell_by`.

        Raises `RuntimeError` if rows were changed but no event records the change. This is a programming error.
        """
        factors = {}
        for name, before in self._before.items():
            self._after[name] = now = self._elements(name, before)
            changed = [key for key, element in before.items() if element != now.get(key)]
            if changed:
                removed = (element for key in changed if (element := before[key]) is not None)
                added = (now[key] for key in changed if key in now)
                factors[name] = multiplied(pow(multiplied(EMPTY, removed), -1, PRIME), added)
        if factors and self._tell is None:
            raise RuntimeError(f"no event says what was changed in {', '.join(sorted(factors))}")
        if factors and self._tell is not None:
            self._tell(self._written(factors))

    def written_again(self) -> str:
        """Return the name of a table with a row that has changed since `settle`, or an empty text.

        The attack: foreign code that the database runs in a later statement undoes a part of the change.
        """
        settled = self._after.items()
        return next((name for name, after in settled if self._elements(name, self._before[name]) != after), "")

    def _elements(self, name: str, keys: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], int]:
        return {key: _element(name, row) for key, row in self._keyed(name, keys)}

    def _written(self, factors: Mapping[str, int]) -> Digests:
        """Save the new product of each changed table's rows, and return the digests before and after the change.

        Tables without a stored product are also in the result.
        """
        kept = dict(_kept(self._connection))
        after = {name: kept[name] * factor % PRIME for name, factor in factors.items() if name in kept}
        for name in DIGESTED.keys() - kept.keys():
            after[name] = product_of_rows(name, self._rows(name, None))
            kept[name] = after[name] * pow(factors.get(name, 1), -1, PRIME) % PRIME
        write_products(self._connection, after)
        return {name: (digest(kept[name]), digest(product)) for name, product in after.items()}

    def _see(self, _connection: Connection, statement: Any, many: Any, one: Any, _options: Any) -> None:
        if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
            return
        name = statement.table.name
        its = DIGESTED.get(name)
        if its is None:
            return
        if isinstance(statement, Insert):
            fixed = statement.compile(dialect=self._connection.dialect).params
            for values in many or [one]:
                self._first_seen(name, tuple((fixed | dict(values))[each] for each in its.key), None)
            return
        rows = [*self._rows(name, statement.whereclause, locked=True)]
        if self._lacks_a_row(name, statement.whereclause, len(rows)):
            raise Unavailable(
                f"This change has just read a row of the table {name}, and now the row is missing.",
                "Somebody else writes to the database. To see the findings: authsec audit verify",
            )
        for row in rows:
            self._first_seen(name, tuple(row[each] for each in its.key), _element(name, row))
        if isinstance(statement, Delete):
            self._see_children(name, rows)

    def _lacks_a_row(self, name: str, condition: Any, found: int) -> bool:
        """Whether the condition names a row by its key, but the row is missing. The condition matched `found` rows.

        A change writes by key only rows that it has read before. The attack: raw SQL deletes the row meanwhile, and
        inserts it again later.
        """
        parts = [each for each in _conditions(condition) if (getattr(each.left, "name", ""),) == DIGESTED[name].key]
        if len(parts) != 1:
            return False
        its = parts[0]
        if its.operator is operator.eq:
            return not found and (its is condition or not any(self._rows(name, its)))
        is_listed = its is condition and its.operator is in_op and isinstance(its.right, BindParameter)
        return is_listed and found < len(set(its.right.value))

    def _see_children(self, parent: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the rows that the database deletes together with these rows of the parent table."""
        for name, its in DIGESTED.items():
            if its.parent and its.parent[0] == parent:
                for some in in_batches(row["id"] for row in rows):
                    for row in self._rows(name, metadata.tables[name].c[its.parent[1]].in_(some), locked=True):
                        self._first_seen(name, tuple(row[each] for each in its.key), _element(name, row))

    def _first_seen(self, name: str, key: tuple[Any, ...], element: int | None) -> None:
        self._before.setdefault(name, {}).setdefault(key, element)

    def _keyed(self, name: str, keys: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
        columns = [metadata.tables[name].c[each] for each in DIGESTED[name].key]
        for some in in_batches(keys, 100):
            if len(columns) == 1:
                condition: Any = columns[0].in_([key[0] for key in some])
            else:
                condition = or_(
                    *(and_(*(each == part for each, part in zip(columns, key, strict=True))) for key in some)
                )
            for row in self._rows(name, condition):
                yield tuple(row[each.name] for each in columns), row

    def _rows(self, name: str, condition: Any, *, locked: bool = False) -> Iterator[Mapping[str, Any]]:
        """Read the rows that meet the condition. `locked` locks rows that the change is about to write.

        Without the lock, on PostgreSQL, raw SQL could write to a row between this read and the statement. The change
        would then record that write as its own.
        """
        names = [each for each in _columns(self._connection, name) if each not in DIGESTED[name].without]
        statement = stored(self._connection.dialect.name, name, names, source=metadata.tables.get(name))
        if condition is not None:
            statement = statement.where(condition)
        for row in self._connection.execute(statement.with_for_update() if locked else statement):
            yield dict(zip(names, row, strict=True))


def _conditions(condition: Any) -> Iterator[BinaryExpression[Any]]:
    """Yield the parts of a condition that joins several conditions with AND; otherwise the condition itself."""
    parts = (
        condition.clauses
        if isinstance(condition, BooleanClauseList) and condition.operator is operator.and_
        else [condition]
    )
    yield from (each for each in parts if isinstance(each, BinaryExpression))


def _columns(connection: Connection, name: str) -> list[str]:
    """Return the columns of this table, even if this process did not import the table's package."""
    if name in metadata.tables:
        return [each.name for each in metadata.tables[name].columns]
    return [each["name"] for each in inspect(connection).get_columns(name)]


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
    """Compute the product of a table from its rows, with the values as stored."""
    return multiplied(EMPTY, (_element(name, row) for row in rows))


def _kept(connection: Connection) -> Iterator[tuple[str, int]]:
    for name, product in connection.execute(select(_digests)):
        yield name, int.from_bytes(product)


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
    for element in elements:
        product = product * element % PRIME
    return product


def digest(product: int) -> str:
    """Return the SHA-256 of the product in base64url, which is the digest of the table."""
    return _sha256(product.to_bytes(_BYTES))


def _sha256(octets: bytes) -> str:
    return urlsafe_b64encode(sha256(octets).digest()).rstrip(b"=").decode()


def _element(name: str, row: Mapping[str, Any]) -> int:
    later = _later_columns().get(name, {})
    told = sorted((each, _tagged(value)) for each, value in row.items() if each not in later or later[each] != value)
    text = json.dumps([name, told], separators=(",", ":"))
    return int.from_bytes(shake_256(text.encode()).digest(_BYTES)) % PRIME or EMPTY


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
    if dialect == "postgresql":
        return f"CASE WHEN {_is_long(dialect, name)} THEN NULL ELSE {name}::text END"
    return f"CASE WHEN {_is_long(dialect, name)} THEN x'' ELSE {name} END"


def _is_long(dialect: str, name: str) -> str:
    if dialect == "postgresql":
        return f"length({name}::text) > {LONGEST}"
    return f"length(CAST({name} AS BLOB)) > {LONGEST}"
