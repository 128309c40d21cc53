"""Find foreign operator classes that PostgreSQL uses although no definition names them.

The attack: a superuser writes the oid of an operator class into the row of the partition key of `events`, or into the
row of an index of long values (TOAST). PostgreSQL calls the functions of this class in each session that plans a
filter by time or reads a long value. PostgreSQL's definitions do not show a class that is the default of its access
method. An index of long values has no definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import unpack_from
from typing import Any, Final

import psycopg

from authsec_server.db.catalog_copy import ForeignCode, copied_rows, fields_of, oids_of
from authsec_server.db.postgresql_queries import FIRST_UNPINNED

CATALOGS: Final = ("pg_class", "pg_index", "pg_opclass", "pg_partitioned_table")
_BTREE: Final = 403  # the oid of this access method
_OF_LONG_VALUES: Final = [1981, 1978]  # the oids of the classes oid_ops and int4_ops: a value, and the number of a part
_PARTITIONED: Final = b"events"
_OF_AUTHSEC: Final = b"sealed_events"  # a table that only AuthSec has
_REMEDY: Final = "Find who changed the row, and restore a dump on another server."


@dataclass(frozen=True, slots=True)
class _Relations:
    """The oids of tables of long values, and of the table `events` in each schema.

    `methods` has the oid of the access method of each relation.
    """

    long_values: frozenset[int]
    partitioned: frozenset[int]
    methods: Mapping[int, int]


def foreign_classes(driver: psycopg.Connection[Any]) -> Iterator[ForeignCode]:
    """Find each foreign operator class that PostgreSQL would use for the rows of AuthSec."""
    relations = _relations(driver)
    yield from _of_long_values(driver, relations)
    yield from _of_partitions(driver, relations)


def _of_long_values(driver: psycopg.Connection[Any], relations: _Relations) -> Iterator[ForeignCode]:
    wrong = list[int]()
    for row in copied_rows(driver, "pg_index", "indexrelid, indrelid, indclass, indexprs, indpred"):
        index, table = unpack_from(">I4xI", row, 6)
        # An index without a method was made meanwhile, by REINDEX.
        is_btree = relations.methods.get(index, _BTREE) == _BTREE
        if table in relations.long_values and not (is_btree and _is_genuine(row[18:])):
            wrong.append(index)
    for oid in wrong:
        yield ForeignCode(
            f"The index with the oid {oid} finds parts of long values by foreign operator classes.", _REMEDY
        )


@lru_cache(maxsize=8)  # nearly all indexes of long values have the same fields
def _is_genuine(fields: bytes) -> bool:
    classes, *conditions = fields_of(bytes(2) + fields)
    return oids_of(classes or b"") == _OF_LONG_VALUES and conditions == [None, None]


def _of_partitions(driver: psycopg.Connection[Any], relations: _Relations) -> Iterator[ForeignCode]:
    own = set[int]()
    for row in copied_rows(driver, "pg_opclass", "oid, opcmethod, opcfamily"):
        oid, method, family = unpack_from(">I4xI4xI", row, 6)
        if method == _BTREE and max(oid, family) < FIRST_UNPINNED:
            own.add(oid)
    keys = [fields_of(row) for row in copied_rows(driver, "pg_partitioned_table", "partrelid, partclass")]
    for table, classes in keys:
        if int.from_bytes(table or b"") in relations.partitioned and not own.issuperset(oids_of(classes or b"")):
            yield ForeignCode(
                f"The partitions of {_PARTITIONED.decode()} are chosen by a foreign operator class.", _REMEDY
            )


def _relations(driver: psycopg.Connection[Any]) -> _Relations:
    long_values, methods, schemas = set[int](), dict[int, int](), set[int]()
    partitioned = list[tuple[int, int]]()
    for row in copied_rows(driver, "pg_class", "oid, relnamespace, relam, reltoastrelid, relname"):
        oid, schema, methods[oid], of_long_values = unpack_from(">I4xI4xI4xI", row, 6)
        long_values.add(of_long_values)
        name = row[38:]
        if name == _OF_AUTHSEC:
            schemas.add(schema)
        elif name.startswith(_PARTITIONED):
            partitioned.append((oid, schema))
    return _Relations(
        frozenset(long_values - {0}), frozenset(oid for oid, schema in partitioned if schema in schemas), methods
    )
