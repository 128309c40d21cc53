"""Check that each index of PostgreSQL's own catalogs leads to each row of its catalog once, under that row's key.

PostgreSQL finds the rows of its catalogs by these indexes, and the comparison of the catalogs reads their tables. The
attack: `relhasindex = false` keeps an index from changing while a superuser changes rows. Then an entry leads to a row
with another key, or a row has no entry. The extension `amcheck` does not detect an entry with another key.

Each index is read twice in its order, as `index_walk` does: once with the rows, and once with the stored keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import le, lt, ne
from typing import Any, Final, Self

import psycopg
from sqlalchemy import Connection

from authsec_server.db.catalog_copy import (
    OIDS,
    CatalogDenied,
    copied_rows,
    fields_of,
    name_of,
    oid_of,
    queried_rows,
)
from authsec_server.db.index_walk import OF_KEYS, OF_ROWS, WALKING, follows
from authsec_server.db.postgresql_catalog import careful
from authsec_server.db.postgresql_connection import as_raised_by_queries, driver_of
from authsec_server.db.postgresql_queries import FIRST_UNPINNED
from authsec_server.db.quoting import quoted

_SIGNED: Final = frozenset({21, 23})  # the oids of int2 and int4
_LENGTHS: Final = {16: 1, 18: 1, 21: 2, 23: 4, 24: 4, 26: 4}  # octets of types of one length, by the types' oids
_SIGN: Final = 0x80
_FLIPPED: Final = [bytes([octet ^ _SIGN]) for octet in range(256)]
# Classes of SQLSTATE: the server cannot answer now.
_NOT_NOW: Final = frozenset({"", "08", "40", "53", "55", "57", "58"})


@dataclass(slots=True, kw_only=True)
class _CatalogIndex:
    """An index of a catalog. `keys` are its columns, and `types` the oids of their types."""

    catalog: str
    name: str
    is_unique: bool
    keys: Sequence[str]
    types: Sequence[int]

    def query(self, *first: str) -> str:
        """Return a query of all entries in the order of the index. `first` are further columns, which come first."""
        keys = ", ".join(self.keys)
        return f"SELECT {', '.join([*first, keys])} FROM pg_catalog.{self.catalog} ORDER BY {keys}"  # noqa: S608 - of the catalog

    def sortable(self, rows: Sequence[bytes]) -> Sequence[Any]:
        """Return the keys in these rows in a form that Python sorts as the index does.

        A row without NULL and with keys of fixed length sorts as it is, except for the signs of numbers.
        """
        signed = [place for place, type_ in enumerate(self.types) if type_ in _SIGNED]
        lengths = [_LENGTHS.get(type_, 0) for type_ in self.types]
        if all(lengths) and {len(row) for row in rows} == {2 + sum(4 + length for length in lengths)}:
            keys = rows
            for place in signed:
                at = 2 + sum(4 + length for length in lengths[:place]) + 4
                keys = [key[:at] + _FLIPPED[key[at]] + key[at + 1 :] for key in keys]
            return keys
        found = []
        for row in rows:
            fields = [each or b"" for each in fields_of(row)]
            for place in signed:
                fields[place] = bytes(octet ^ _SIGN for octet in fields[place][:1]) + fields[place][1:]
            found.append(fields)
        return found


def catalog_index_findings(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each index of a catalog that does not lead to each row once. PostgreSQL only."""
    savepoint, driver = connection.begin_nested(), driver_of(connection)
    seed = secrets.token_bytes(16)  # nobody can choose rows whose hashes have the same sum
    try:
        for catalog, indexes in groupby(_indexes(driver), key=lambda index: index.catalog):
            with careful(connection):
                rows = _Places.of(queried_rows(driver, catalog, f"SELECT ctid FROM pg_catalog.{catalog}"), seed)  # noqa: S608 - of constants
            with careful(connection, **WALKING):
                for index in indexes:
                    if wrong := _damage(driver, index, rows, seed):
                        yield f"The index {index.name} of PostgreSQL's own catalog {catalog} is damaged: {wrong}."
    except CatalogDenied as error:
        yield f"PostgreSQL's own catalog {error.catalog} cannot be read: this role lacks the permission."
    except psycopg.Error as error:
        if driver.closed or (error.sqlstate or "")[:2] in _NOT_NOW:
            raise as_raised_by_queries(driver, "the indexes of the catalogs", error) from error
        reason = str(error).partition("\n")[0]
        yield f"The indexes of PostgreSQL's own catalogs cannot be read: {reason}."
    finally:
        savepoint.rollback()


def _indexes(driver: psycopg.Connection[Any]) -> list[_CatalogIndex]:
    """Return PostgreSQL's own indexes of the catalogs in `OIDS`. `foreign_code` reports all others."""
    catalogs = {oid: name for name, (_, oid) in OIDS.items()}
    columns = {
        (oid_of(table), number): (name_of(name), oid_of(type_))
        for table, number, name, type_ in map(
            fields_of, copied_rows(driver, "pg_attribute", "attrelid, attnum, attname, atttypid")
        )
        if oid_of(table) in catalogs
    }
    names = {
        oid_of(oid): name_of(name) for oid, name in map(fields_of, copied_rows(driver, "pg_class", "oid, relname"))
    }
    found = []
    for index, table, is_unique, numbers in map(
        fields_of, copied_rows(driver, "pg_index", "indexrelid, indrelid, indisunique, indkey")
    ):
        if oid_of(table) in catalogs and oid_of(index) < FIRST_UNPINNED:
            keys = [columns.get((oid_of(table), number), ("?", 0)) for number in _numbers(numbers or b"")]
            found.append(
                _CatalogIndex(
                    catalog=catalogs[oid_of(table)],
                    name=names.get(oid_of(index), str(oid_of(index))),
                    is_unique=is_unique == b"\x01",
                    keys=[quoted(name) for name, _ in keys],  # a name must not change the statement
                    types=[type_ for _, type_ in keys],
                )
            )
    return sorted(found, key=lambda index: (index.catalog, index.name))


def _numbers(vector: bytes) -> list[bytes]:
    """Return the numbers in a field of the type `int2vector`: 20 bytes of header, then each number after its length."""
    return [vector[place + 4 : place + 6] for place in range(20, len(vector), 6)]


@dataclass(slots=True)
class _Places:
    """The number of rows, and the sum of the seeded hashes of their positions (`ctid`)."""

    number: int = 0
    total: int = 0

    def add(self, rows: Sequence[bytes], seed: bytes) -> None:
        """Add these rows. The first value of a row is its position in the table (`ctid`)."""
        self.number += len(rows)
        self.total += sum(map(hash, [seed + row[6:12] for row in rows]))

    @classmethod
    def of(cls, arriving: Iterator[list[bytes]], seed: bytes) -> Self:
        its = cls()
        for rows in arriving:
            its.add(rows, seed)
        return its


def _damage(driver: psycopg.Connection[Any], index: _CatalogIndex, rows: _Places, seed: bytes) -> str:
    """Read the index twice. Return its damage; an empty text if there is none. `rows` are the positions of all rows."""
    of_rows, of_keys = index.query("ctid"), index.query()
    if not (_is_followed(driver, of_rows, index, OF_ROWS) and _is_followed(driver, of_keys, index, OF_KEYS)):
        return "PostgreSQL does not use it"
    places, of_heap = _Places(), sha256()
    for arrived in queried_rows(driver, index.catalog, of_rows):
        places.add(arrived, seed)
        of_heap.update(b"".join([row[12:] for row in arrived]))
    stored, last = sha256(), list[bytes]()
    in_order = is_unique = True
    for arrived in queried_rows(driver, index.catalog, of_keys):
        stored.update(b"".join([row[2:] for row in arrived]))
        keys = index.sortable(arrived := last + arrived)
        if not all(map(lt, keys, keys[1:])):
            in_order &= all(map(le, keys, keys[1:]))
            is_unique &= all(map(ne, keys, keys[1:]))
        last = arrived[-1:]
    if places.number != rows.number:
        return f"it leads to {places.number:,} rows, and the catalog has {rows.number:,}"
    if places != rows:
        return "an entry leads to a wrong row"
    if of_heap.digest() != stored.digest():
        return "an entry leads to a row with another key"
    if not in_order:
        return "its entries are not in order"
    return "two rows have the same key" if index.is_unique and not is_unique else ""


def _is_followed(driver: psycopg.Connection[Any], query: str, index: _CatalogIndex, way: str) -> bool:
    ((plan,),) = driver.execute(f"EXPLAIN (FORMAT JSON, COSTS OFF) {query}".encode()).fetchall()
    return follows(plan[0]["Plan"], index.name, way)
