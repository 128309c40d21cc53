"""Check that a search in the SQLite file finds each row that a scan shows, under the row's own key.

The attack: SQLite decodes a record in two ways. A scan reads the columns one by one, and a search compares the octets
in a faster way. Octets that somebody wrote by hand can have one value for the scan and another for the search. SQLite's
`integrity_check` uses one of the two ways, and begins some searches in the middle of an index. So that check ends with
`ok`, although readers miss rows.

The statements search as readers do: from each end of a range to the other end. `INDEXED BY` makes SQLite use the index
or fail. The statements read only keys, because any other value could have a gigabyte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError, DBAPIError

from authsec_server.db.catalog import WITHOUT_ROWID
from authsec_server.db.quoting import quoted
from authsec_server.db.sqlite_reading import is_late, rows_without_rowid, sqlite_driver_of

_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_ROWID: Final = "rowid"
# SQLite's order: the type, then the number or the octets. As octets, Python compares text that is not UTF-8 as well.
_SORTED: Final = (
    "CASE typeof({0}) WHEN 'null' THEN 0 WHEN 'text' THEN 2 WHEN 'blob' THEN 3 ELSE 1 END,"
    " CASE typeof({0}) WHEN 'text' THEN CAST({0} AS BLOB) ELSE {0} END"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """A B-tree in the order of its keys: an index, or a table `WITHOUT ROWID`. All but `name` is SQL.

    The last key of an index is the rowid; the last key of a table is the last column of its primary key.
    If `is_unique` is true, a search finds an entry without comparing its rowid.
    """

    name: str
    source: str
    keys: Sequence[str]
    condition: str = "TRUE"
    is_unique: bool = False

    @property
    def in_order(self) -> str:
        """Select the keys of all entries from end to end, in a form that Python compares as SQLite does."""
        return f"SELECT {', '.join(map(_SORTED.format, self.keys))} {self._from}"

    def not_found(self, direction: str) -> str:
        """Select the last key of an entry that a search does not find. Each search begins at the root."""
        *others, last = self.keys[:-1] if self.is_unique else self.keys
        same = "".join(f" AND {key} IS e.k{place}" for place, key in enumerate(others))
        bound = f"e.k{len(others)}"
        return (
            f"SELECT e.{self._last} FROM {self._scan} WHERE (SELECT {self.keys[-1]} {self._from}{same}"  # noqa: S608 - quoted names
            f" AND {last} >= {bound} AND {last} <= {bound} ORDER BY {last} {direction} LIMIT 1)"
            f" IS NOT e.{self._last} LIMIT 1"
        )

    def not_of(self, table: str) -> str:
        """Select the rowid of an entry with another value, or a value of another type, than the row of the table."""
        differences = "".join(
            f" OR x.{key} IS NOT e.k{place} OR typeof(x.{key}) <> typeof(e.k{place})"
            for place, key in enumerate(self.keys[:-1])
        )
        return (
            f"SELECT e.{self._last} FROM {self._scan} LEFT JOIN {table} x NOT INDEXED ON x.rowid = e.{self._last}"  # noqa: S608 - quoted names
            f" WHERE x.rowid IS NOT e.{self._last}{differences} LIMIT 1"
        )

    @property
    def empty(self) -> str:
        """Select the entry that a search for the empty text finds first, if the entry has NULL in this column.

        For such an entry, SQLite compares NULL in another way than a text. So a search for NULL shows no difference.
        """
        first, last = self.keys[0], self.keys[-1]
        return (
            f"SELECT k FROM (SELECT {first} AS v, {last} AS k {self._from} AND {first} >= ''"  # noqa: S608 - quoted names
            f" ORDER BY {first} LIMIT 1) WHERE v IS NULL"
        )

    def count_of(self, table: str) -> str:
        """Count the rows that need an entry. For `IS NOT NULL`, SQLite scans from the first value after NULL."""
        return f"SELECT count(*) FROM {table} NOT INDEXED WHERE {self.condition}"  # noqa: S608 - quoted names

    def row(self, key: Any) -> str:
        """Return the name of the row for a finding. A finding does not quote a text key: the text could be anything."""
        return f"row {key}" if self.keys[-1] == _ROWID else "one of its rows"

    @property
    def _from(self) -> str:
        return f"FROM {self.source} WHERE {self.condition}"

    @property
    def _scan(self) -> str:
        """Return the scan as a subquery. The limit keeps SQLite from merging the scan with the search."""
        return (
            f"(SELECT {', '.join(f'{key} AS k{place}' for place, key in enumerate(self.keys))} {self._from} LIMIT -1) e"
        )

    @property
    def _last(self) -> str:
        return f"k{len(self.keys) - 1}"


def index_findings(connection: Connection, table: str, genuine: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for the damage of the table, and for each damaged index of the table.

    SQLite only, after `integrity_check` found nothing. `genuine` has the definitions of the objects that the migrations
    make, by name. An index with another definition is left out: the schema comparison reports it. Raises the driver's
    errors when the database is busy.
    """
    sql, named = connection.exec_driver_sql, quoted(table)
    # Only the pragmas as statements are safe: somebody can give a table or a view the name of their functions.
    columns = sql(f"PRAGMA main.table_info({named})").all()
    primary_key = [quoted(each.name) for each in sorted(columns, key=lambda each: each.pk) if each.pk > 0]
    if genuine[f"table {table}"].endswith(WITHOUT_ROWID):
        tree = _Tree(name=f"table {table}", source=rows_without_rowid(table), keys=primary_key)
        yield from _damage(tree.name, lambda: _of_tree(connection, tree))
        return
    yield from _damage(f"table {table}", lambda: _of_rowids(connection, named))
    indexes = sorted(sql(f"PRAGMA main.index_list({named})").all(), key=lambda each: each.name)
    # A primary key without its own index is the rowid, and each key ends with the rowid anyway.
    rowid = () if any(each.origin == "pk" for each in indexes) else primary_key
    not_null = {each.cid: each.notnull for each in columns}
    for index in indexes:
        definition = genuine.get(f"index {index.name} of {table}")
        if definition is None:
            continue
        found = sql(f"PRAGMA main.index_info({quoted(index.name)})").all()
        tree = _Tree(
            name=f"index {index.name}",
            source=f"{named} INDEXED BY {quoted(index.name)}",
            keys=[*(each for each in (quoted(column.name) for column in found) if each not in rowid), _ROWID],
            condition=definition.partition(")WHERE ")[2] or "TRUE",
            is_unique=bool(index.unique) and all(not_null[column.cid] for column in found),
        )
        yield from _damage(tree.name, lambda: _of_tree(connection, tree, table=named))  # noqa: B023 - called at once


def is_busy(error: DatabaseError) -> bool:
    """Whether another process prevents the read. Such an error is no sign of damage."""
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(_BUSY)


def _damage(name: str, find: Callable[[], str]) -> Iterator[str]:
    try:
        found = find()
    except DatabaseError as error:
        if is_busy(error) or is_late(error):
            raise
        found = str(error.orig)
    if found:
        yield f"The {name} is damaged: {found}."


def _of_rowids(connection: Connection, table: str) -> str:
    """Search for each row of the table by its rowid.

    The rowids descend, because SQLite reaches the next higher rowid by a step instead of a search. A search that ends
    at the rowid of the scan has found the row of the scan, because `integrity_check` reports two rows with one rowid.
    """
    statement = (
        f"SELECT e.k FROM (SELECT rowid AS k FROM {table} NOT INDEXED ORDER BY rowid DESC LIMIT -1) e"  # noqa: S608 - a quoted name
        f" LEFT JOIN {table} x NOT INDEXED ON x.rowid = e.k WHERE x.rowid IS NOT e.k LIMIT 1"
    )
    lost = _first(connection, statement)
    return f"a search does not find row {lost[0]}" if lost else ""


def _of_tree(connection: Connection, tree: _Tree, table: str = "") -> str:
    """Compare each entry of an index with its row, then the order of the entries, then search for each entry."""
    if table and (other := _first(connection, tree.not_of(table))):
        return f"its entry for {tree.row(other[0])} differs from the row"
    number = 0
    before: tuple[Any, ...] = ()
    for present in _rows(connection, tree.in_order):  # one at a time: a key that no server writes could have a gigabyte
        if present <= before:
            return f"its entry for {tree.row(present[-1])} is out of order"
        number, before = number + 1, present
    if table and number != (rows := next(_rows(connection, tree.count_of(table)))[0]):
        return f"it has {number:,} entries for {rows:,} rows"
    for direction in ("ASC", "DESC"):
        if lost := _first(connection, tree.not_found(direction)):
            return f"a search does not find {tree.row(lost[0])}"
    if empty := _first(connection, tree.empty):
        return f"a search for a value finds {tree.row(empty[0])}, which has none"
    return ""


def _first(connection: Connection, statement: str) -> tuple[Any, ...] | None:
    return next(_rows(connection, statement), None)


def _rows(connection: Connection, statement: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement. A check has hundreds of statements, and SQLAlchemy would take half of its time."""
    cursor = sqlite_driver_of(connection).cursor()
    try:
        yield from cursor.execute(statement)
    except sqlite3.Error as error:
        raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error
    finally:
        cursor.close()
