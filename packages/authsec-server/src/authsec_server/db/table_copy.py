"""Read AuthSec's tables on PostgreSQL with `COPY`, whole and exactly as they are stored.

A query would use functions, operators, casts and indexes that an attacker may have replaced. `COPY` of a table uses
none of them: it writes each value with the output function of its type. The catalogs are read in the same way.

A session finds a table by an index on the catalogs, but rows of the catalogs could give another schema the same name.
So this module takes a table's oid from the description of a statement, and copies only the table with this oid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from authsec_server.db.catalog_copy import Texts, copied_texts, is_utf_8, table_named
from authsec_server.db.postgresql_catalog import careful
from authsec_server.db.postgresql_connection import as_raised_by_queries, driver_of
from authsec_server.db.postgresql_errors import NO_RIGHT, sqlstate
from authsec_server.db.quoting import quoted, run_as_written

LONGEST: Final = 2**21  # octets of a value that `TableCopies` reads; no server writes a longer one
LONGEST_ROW: Final = 2**23  # octets of all values of a row
_BOOLEAN: Final = 16  # the oids of types
_BYTES: Final = 17
_JSON: Final = 114
_SHORT: Final = frozenset({_BOOLEAN, 20, 21, 23, 1184})  # numbers and times
_TEXTS: Final = frozenset({_JSON, 25, 1042, 1043})
_CUT_SHORT, _TOO_LONG = 1, 2  # results of the query about the rows of a table
_PARTITIONED: Final = "p"
_AS_TEXT: Final = {"t": "true", "f": "false"}  # as `::text` writes a boolean
_NO_TABLE: Final = frozenset({"42P01", "3F000", "42703"})  # no table, no schema, or a view of the name


@dataclass(slots=True)
class _Relation:
    """A table or another relation of the catalogs. `columns` has the type's oid of each column."""

    oid: str
    schema: str
    name: str
    kind: str
    columns: dict[str, int] = field(default_factory=dict)
    children: list[_Relation] = field(default_factory=list)

    @property
    def quoted(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


class TableCopies:
    """Copies the tables in the schema to which the session of this connection is pinned.

    `can_read` adds a table to `too_long` if a row is too long to be copied, and to `cut_short` if PostgreSQL shows only
    the beginning of a text.

    Raises SQLAlchemy's errors of the driver, as a query would.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver = driver_of(connection)
        self._named: dict[str, _Relation | None] = {}
        self._relations: Mapping[str, _Relation] = {}
        self.too_long: set[str] = set()
        self.cut_short: set[str] = set()

    def columns(self, table: str) -> Mapping[str, int]:
        """Return the columns of the table, each with the oid of its type. Empty if there is no such table."""
        found = self._table(table)
        return found.columns if found else {}

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Texts]:
        """Yield these columns of each row of the table, of its partitions and of the tables that inherit from it.

        The values are texts as `::text` writes them.
        """
        its = self.columns(table)
        booleans = [at for at, name in enumerate(columns) if its.get(name) == _BOOLEAN]
        for part in self._parts(self._relation(table)):
            for texts in self._copied(part.quoted, columns, oid=part.oid):
                row = [*texts]
                for at in booleans:
                    row[at] = _AS_TEXT.get(row[at] or "", row[at])
                yield row

    def can_read(self, table: str, columns: Sequence[str]) -> bool:
        """Whether the role may read each partition, and no row is too long for `rows`.

        PostgreSQL plans these queries, and a forged constraint could say that no value is so long. So the queries run
        without constraints and indexes. If the answer is wrong nevertheless, `rows` raises an error.

        The attack: a cast from `bytea` stores a text with octet 0. PostgreSQL compares the whole text, and shows and
        copies only the text before that octet.
        """
        its = self.columns(table)
        measure = _measure({name: its[name] for name in columns if name in its})
        parts = [*self._parts(self._relation(table))]
        found = set[int]()
        try:
            with careful(self._connection):
                for part in parts:
                    statement = f"SELECT max({measure}) FROM ONLY {part.quoted}"  # noqa: S608 - quoted names
                    found.add(run_as_written(self._connection, statement).scalar_one() or 0)
        except DBAPIError as error:
            if sqlstate(error) != NO_RIGHT:
                raise
            return False
        if _CUT_SHORT in found:
            self.cut_short.add(table)
        if _TOO_LONG in found:
            self.too_long.add(table)
        return _TOO_LONG not in found

    def _relation(self, table: str) -> _Relation:
        """Return the table. If the table is missing, PostgreSQL reports this when the result is copied."""
        return self._table(table) or _Relation("", self._driver.schema, table, "")

    def _table(self, name: str) -> _Relation | None:
        """Return the table to which the name leads in this session; None if there is no such table."""
        if name not in self._named:
            self._named[name] = self._found(f"{quoted(self._driver.schema)}.{quoted(name)}")
        return self._named[name]

    def _found(self, relation: str) -> _Relation | None:
        savepoint = self._connection.begin_nested()
        try:
            oid = table_named(self._driver, relation)
        except psycopg.Error as error:
            if error.sqlstate not in _NO_TABLE:
                raise as_raised_by_queries(self._driver, relation, error) from error
            savepoint.rollback()
            return None
        savepoint.commit()
        if str(oid) not in self._relations:
            self._relations = self._read_relations(str(oid))
        return self._relations.get(str(oid))

    def _parts(self, relation: _Relation) -> Iterator[_Relation]:
        if not is_utf_8(relation.quoted):  # the driver sends no name that is not UTF-8
            error = psycopg.errors.CharacterNotInRepertoire(f"The name {relation.quoted!a} is not UTF-8.")
            raise as_raised_by_queries(self._driver, ascii(relation.quoted), error)
        if relation.kind != _PARTITIONED:
            yield relation
        for child in relation.children:
            yield from self._parts(child)

    def _read_relations(self, oid: str) -> Mapping[str, _Relation]:
        """Return this relation, the relations of the session's schema, and all children of these relations, by oid.

        The attack: somebody makes tables with millions of columns in another schema. Rows of such tables are read, but
        not kept in memory.
        """
        schemas = {
            each for each, name in self._catalog("pg_namespace", "oid", "nspname") if name == self._driver.schema
        }
        wanted = {each for each, schema in self._catalog("pg_class", "oid", "relnamespace") if schema in schemas} | {
            oid
        }
        children = self._children(wanted)
        of_schema = dict[str, list[_Relation]]()
        found = dict[str, _Relation]()
        for each, schema, name, kind in self._catalog("pg_class", "oid", "relnamespace", "relname", "relkind"):
            if each in wanted:
                found[each] = _Relation(each, "", name, kind)
                of_schema.setdefault(schema, []).append(found[each])
        for schema, name in self._catalog("pg_namespace", "oid", "nspname"):
            for relation in of_schema.get(schema, ()):
                relation.schema = name
        for each, name, type_, number, is_dropped in self._catalog(
            "pg_attribute", "attrelid", "attname", "atttypid", "attnum", "attisdropped"
        ):
            if each in found and int(number) > 0 and is_dropped == "f":
                found[each].columns[name] = int(type_)
        for parent, relation in found.items():
            relation.children += [found[child] for child in children.get(parent, ()) if child in found]
        return found

    def _children(self, wanted: set[str]) -> Mapping[str, list[str]]:
        """Return the children of the wanted relations, by their parents. The children are added to `wanted`."""
        size = 0
        while size < len(wanted):  # a relation may come before its parent
            size, found = len(wanted), dict[str, list[str]]()
            for child, parent in self._catalog("pg_inherits", "inhrelid", "inhparent"):
                if parent in wanted:
                    wanted.add(child)
                    found.setdefault(parent, []).append(child)
        return found

    def _catalog(self, name: str, *columns: str) -> Iterator[Sequence[str]]:
        for row in self._copied(f"pg_catalog.{name}", columns):
            yield [value or "" for value in row]

    def _copied(self, relation: str, columns: Sequence[str], *, oid: str = "") -> Iterator[Texts]:
        try:
            if oid and (other := table_named(self._driver, relation)) != int(oid):
                raise psycopg.errors.UndefinedTable(
                    f"The name {relation} leads to the table with the oid {other}, not {oid}"
                )
            yield from copied_texts(self._driver, relation, columns, longest=2 * LONGEST_ROW)  # with escapes
        except psycopg.Error as error:
            raise as_raised_by_queries(self._driver, relation, error) from error


def _measure(columns: Mapping[str, int]) -> str:
    """Return the SQL expression that says whether a row is too long, or has a text that PostgreSQL shows cut short.

    `concat` calls the output functions of types, as `COPY` does.
    """
    octets = {name: _octets(name, type_) for name, type_ in columns.items() if type_ not in _SHORT}
    texts = [name for name in octets if columns[name] in _TEXTS]
    row = " + ".join(f"coalesce({each}, 0)::bigint" for each in octets.values()) or "0"
    is_long = " OR ".join([*(f"{each} > {LONGEST}" for each in octets.values()), f"{row} > {LONGEST_ROW}"])
    stored = " + ".join(f"coalesce({octets[name]}, 0)" for name in texts) or "0"
    shown = f"octet_length(concat({', '.join(map(quoted, texts))}))" if texts else "0"
    return f"CASE WHEN {is_long} THEN {_TOO_LONG} WHEN {stored} <> {shown} THEN {_CUT_SHORT} ELSE 0 END"


def _octets(name: str, type_: int) -> str:
    """Return the SQL expression of the octets of a value as it is stored: `json::text` has no octets after octet 0."""
    if type_ == _JSON:
        return f"octet_length(json_send({quoted(name)}))"
    return f"octet_length({quoted(name)}{'' if type_ == _BYTES else '::text'})"
