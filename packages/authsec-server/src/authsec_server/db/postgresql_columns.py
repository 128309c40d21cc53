"""List the columns of PostgreSQL tables with their defaults.

The attack: somebody makes very many columns, each with a long default. So this module reads each catalog once, and
keeps only the columns of some tables in memory. No query joins two catalogs. Indexes and hash functions can be forged,
and without these, PostgreSQL would compare each row of one catalog with each row of the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.matching import in_batches
from authsec_server.db.postgresql_errors import is_of_server, reason_of
from authsec_server.db.postgresql_queries import COLLATIONS, COLUMNS, DEFAULTS, PLACES_OF_DEFAULTS

LONGEST: Final = 10_000  # characters of a definition or an expression; AuthSec's have less than 1,500
_LONGEST_UNKNOWN: Final = 1_000  # characters of a default that is only shown
_AT_ONCE: Final = 1000  # rows
_UNREADABLE: Final = "DEFAULT that cannot be read"
_DEFAULT_COLLATION: Final = frozenset({0, 100})  # PostgreSQL's InvalidOid and DEFAULT_COLLATION_OID

_Key = tuple[int, int]  # the oid of a table, and the number of a column


@dataclass(frozen=True, slots=True)
class ListedColumn:
    """A column, described like the other objects of a schema. `tree` is the default as PostgreSQL stores it."""

    owner: str
    name: str
    definition: str
    tree: str


def columns_of(
    connection: Connection, tables: Mapping[int, str], is_known: Callable[[str, str], bool]
) -> tuple[list[ListedColumn], list[str]]:
    """Return the columns of these tables, given by oid and name, and a finding for each default that is unreadable.

    `is_known` says whether AuthSec makes this column of this table. The default of any other column is cut.
    """
    collations = {row.oid: row.name for row in _streamed(connection, COLLATIONS)}
    found = {(row.table, row.number): row for row in _streamed(connection, COLUMNS) if row.table in tables}
    known: dict[bool, dict[str, _Key]] = {True: {}, False: {}}
    for row in _streamed(connection, PLACES_OF_DEFAULTS):
        key = row.table, row.number
        if key in found:
            known[is_known(tables[row.table], found[key].name)][row.place] = key
    defaults: dict[_Key, list[Any]] = defaultdict(list)
    unreadable: dict[_Key, str] = {}
    for places, longest, longest_tree in (
        (known[True], LONGEST, LONGEST + 1),
        (known[False], _LONGEST_UNKNOWN, 0),
    ):
        for some in in_batches(places.items(), _AT_ONCE):
            for row in _defaults(connection, some, unreadable, {"longest": longest, "longest_tree": longest_tree}):
                defaults[row.table, row.number].append(row)
    columns = [
        _listed(tables[row.table], row, collations, defaults[key], _UNREADABLE if key in unreadable else "")
        for key, row in found.items()
    ]
    return columns, [
        f"The column {tables[key[0]]}.{found[key].name} cannot be read: {reason}." for key, reason in unreadable.items()
    ]


def _defaults(
    connection: Connection, places: Sequence[tuple[str, _Key]], unreadable: dict[_Key, str], lengths: Mapping[str, int]
) -> Iterable[Any]:
    """Read the defaults at these places of their catalog. Add each default with an error to `unreadable`.

    The attack: a superuser stores an expression that PostgreSQL cannot read.
    """
    try:
        with connection.begin_nested():
            return connection.execute(text(DEFAULTS), {"places": [place for place, _ in places], **lengths}).all()
    except DBAPIError as error:
        if is_of_server(error):
            raise
        if len(places) == 1:
            unreadable[places[0][1]] = reason_of(error)
            return []
    return [row for each in places for row in _defaults(connection, [each], unreadable, lengths)]


def _listed(
    table: str, row: Any, collations: Mapping[int, str], defaults: Sequence[Any], unreadable: str
) -> ListedColumn:
    collation = "" if row.collation in _DEFAULT_COLLATION else f"COLLATE {collations.get(row.collation)}"
    parts = (row.type, collation, row.others, *(f"DEFAULT {each.definition}" for each in defaults), unreadable)
    definition, trees = " ".join(filter(None, parts)), [each.tree for each in defaults]
    if any(len(tree) > LONGEST for tree in trees):
        definition = f"too long to be compared: {definition}"
    return ListedColumn(table, f"column {table}.{row.name}", definition[:LONGEST], "".join(trees))


def _streamed(connection: Connection, query: str) -> Iterator[Any]:
    yield from connection.execute(text(query).execution_options(yield_per=_AT_ONCE))
