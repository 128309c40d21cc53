"""List the PostgreSQL objects that decide how the database reads rows, and describe the rights that a check lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.expression_trees import called
from authsec_server.db.postgresql_columns import LONGEST, columns_of
from authsec_server.db.postgresql_errors import NOT_NOW, is_of_server, reason_of, sqlstate
from authsec_server.db.postgresql_queries import (
    DATABASE_WIDE,
    FIRST_OF_PATH,
    HOME,
    LACKED_FUNCTIONS,
    LACKED_TABLES,
    OBJECTS_OF_PATH,
    OBJECTS_OF_SCHEMA,
    ROLE_SETTINGS,
    SESSION_SETTINGS,
    TABLES_OF_SCHEMA,
)
from authsec_server.db.quoting import quoted, run_as_written
from authsec_server.failures import Unavailable

MONTH = "YYYY_MM"
TOO_LONG = "too long to be compared: "
CALLING = ", calling "  # in definitions, before the calls that the text of an expression may not show
SCHEMA = "SCHEMA."  # in listings, instead of the schema's name, which a company chooses
_CAST_MEMBER = re.compile(r"\(('[^']*'::character varying)\)::text")
_CAST_MEMBERS = re.compile(rf"ARRAY\[({_CAST_MEMBER.pattern}(?:, {_CAST_MEMBER.pattern})*)\]")
_MONTHLY = re.compile(r"(.+)_([0-9]{4})_(0[1-9]|1[0-2])")
_OF_ITS_MONTH = "for the month of its name"
# Statements of this module find names only in pg_catalog. PostgreSQL uses no index for them, because it may be corrupt,
# and no hash or sort function of a type, because an attacker may have replaced it.
_CAREFUL = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO",
    "quote_all_identifiers": "off",
    "constraint_exclusion": "off",
    "enable_partition_pruning": "off",
    "enable_seqscan": "on",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_hashagg": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}


@dataclass(frozen=True, slots=True, order=True)
class SchemaObject:
    """A database object: kind and name, as in messages, and the definition as text."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All objects of a database; `months` has the objects of each monthly partition.

    The names in `months` have `YYYY_MM` in place of the month. On SQLite, `others` is the number of objects that
    differ from the migrations and are left out of `objects`. On PostgreSQL, `unread` has the table and the name of each
    object whose definition cannot be read.
    """

    schema: str = ""
    objects: list[SchemaObject] = field(default_factory=list)
    others: int = 0
    months: dict[str, list[SchemaObject]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def careful(connection: Connection, **others: str) -> Iterator[None]:
    """Within this context, resolve names only in `pg_catalog`, and read tables without their indexes.

    `others` are further settings for the context; they override the settings of this function.
    """
    savepoint = connection.begin_nested()
    settings = (_CAREFUL | others).items()
    each = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in settings)
    connection.exec_driver_sql(f"SELECT {each}")  # SQLAlchemy would compile it for each of a hundred contexts
    try:
        yield
    finally:
        savepoint.rollback()  # which undoes the settings, after an error as well


@contextmanager
def any_text_of_catalogs(connection: Connection) -> Iterator[None]:
    """Within this context, PostgreSQL text in catalogs that is not UTF-8 raises no error. No effect on SQLite."""
    if connection.dialect.name != "postgresql":
        yield
        return
    from authsec_server.db.postgresql_connection import any_text  # not imported on SQLite

    with any_text(connection):
        yield


def month_of(partition: str) -> str:
    """Return the month in a partition's name, as in `events_2026_11`, or an empty text."""
    month = _MONTHLY.fullmatch(partition)
    return f"{month[2]}_{month[3]}" if month else ""


def _general(table: str) -> str:
    """Return the name of a partition with `YYYY_MM` in the place of its month. Another name stays as it is."""
    return table.removesuffix(month) + MONTH if (month := month_of(table)) else table


def home(connection: Connection) -> tuple[int, str] | None:
    """Return the oid and name of the schema with AuthSec's tables, or with most of them.

    The schema that the session is pinned to comes first. Then come the schemas of the session's search path.
    """
    for path in ([_pinned(connection)], _path(connection)):
        with careful(connection):
            found = connection.execute(text(HOME), {"path": path}).one_or_none()
        if found:
            return found[0], found[1]
    return None


def _path(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT pg_catalog.unnest(pg_catalog.current_schemas(true))")).scalars())


def _pinned(connection: Connection) -> str:
    from authsec_server.db.postgresql_connection import driver_of  # not imported on SQLite

    return driver_of(connection).schema


def hold_tables(connection: Connection, names: Iterable[str]) -> None:
    """Lock these tables until the transaction ends, so that nobody can give their names to other tables.

    Tables that are missing, or that the role may not read, are left out. Later checks report such tables. Raises
    `Unavailable` for a table that others have locked: each later check would wait again, and its failure would look
    like damage.
    """
    pinned = _pinned(connection)
    if not pinned:
        return
    for name in names:
        savepoint = connection.begin_nested()
        try:
            run_as_written(connection, f"LOCK TABLE {quoted(pinned)}.{quoted(name)} IN ACCESS SHARE MODE")
        except DBAPIError as error:
            savepoint.rollback()
            if error.connection_invalidated or not sqlstate(error):
                raise
            if sqlstate(error) in NOT_NOW:
                what = f"Another transaction has locked the table {name}, so nothing was checked."
                raise Unavailable(what, "Check again after that transaction has ended (pg_stat_activity).") from error
        else:
            savepoint.commit()


def led_away(connection: Connection) -> str:
    """Return a finding if the search path no longer leads to the schema that the session is pinned to.

    Otherwise return an empty text.
    """
    pinned, path = _pinned(connection), _path(connection)
    if not pinned or path == ["pg_catalog", pinned]:
        return ""
    return f"The search path of this session changed to {', '.join(path)} while the tables were read."


def listing(connection: Connection, known: Collection[str] | None = None) -> Listing:
    """List the objects of the schema with AuthSec's tables, and of every schema that could hide these tables.

    `known` are the names of all objects that AuthSec makes. With these, the columns of other tables are left out.
    """
    ours = home(connection)
    if ours is None:
        return Listing(findings=["The table events is missing."])
    path = _path(connection)
    with careful(connection):
        paths = [("This session", path), *_paths_of_roles(connection, ours[0])]
        findings = [each for who, names in paths for each in _path_findings(connection, who, names, ours)]
        findings += [
            f"The setting {row.name} of this session is {row.setting}, not {row.expected}."
            for row in connection.execute(text(SESSION_SETTINGS))
        ]
        findings += [
            f"The setting {row.name} of {row.who} is {row.value}: the setting can change the results of statements."
            for row in connection.execute(text(ROLE_SETTINGS), {"ours": ours[0]})
            if row.name != "search_path"
        ]
        schemas = sorted({"pg_catalog", ours[1], *(name for _, names in paths for name in names)})
        found = _objects(connection, ours, schemas, known)
    found.findings.extend(dict.fromkeys(findings))
    return found


def _objects(
    connection: Connection, ours: tuple[int, str], schemas: Sequence[str], known: Collection[str] | None
) -> Listing:
    found = Listing(schema=ours[1])
    tables = {
        row.oid: row.name
        for row in _rows(connection, TABLES_OF_SCHEMA, ours=ours[0])
        if known is None or f"table {_general(row.name)}" in known
    }
    columns, unreadable = columns_of(
        connection, tables, lambda table, name: known is None or f"column {_general(table)}.{name}" in known
    )
    found.findings.extend(unreadable)
    rows: list[Any] = [*columns]
    for query in OBJECTS_OF_SCHEMA:
        try:
            rows += _rows(connection, _bounded(query), ours=ours[0])
        except DBAPIError as error:
            if is_of_server(error):
                raise
            readable, unread = _one_by_one(connection, query, ours[0])
            rows += readable
            unread = unread or {("", ""): f"The schema cannot be listed: {reason_of(error)}."}
            found.unread.extend(unread)
            found.findings.extend(unread.values())
    months, callees = _months(rows, ours[1]), called(connection, [row.tree or "" for row in rows])
    for row, names in zip(rows, callees, strict=True):
        monthly = months.get(row.owner)
        calling = f"{CALLING}{', '.join(names)}" if names else ""
        name, definition = row.name, as_created(_unqualified(f"{row.definition or ''}{calling}", ours[1]))
        if monthly is None:
            found.objects.append(SchemaObject(name, definition))
            continue
        general = _general(row.owner)
        if row.name == f"partition {row.owner}":
            definition = definition.replace(_bounds(monthly), _OF_ITS_MONTH)
        each = SchemaObject(_renamed(name, row.owner, general), _renamed(definition, row.owner, general))
        found.months.setdefault(row.owner, []).append(each)
    for query in (*OBJECTS_OF_PATH, *DATABASE_WIDE):
        arguments = {"schemas": list(schemas)} if ":schemas" in query else {}
        its = f"SELECT '' AS owner, name, definition, NULL AS tree FROM ({query}) AS its"  # noqa: S608 - a constant
        for row in connection.execute(text(_bounded(its)), arguments):
            found.objects.append(
                SchemaObject(_unqualified(row.name, ours[1]), _unqualified(row.definition or "", ours[1]))
            )
    return found


def _one_by_one(connection: Connection, query: str, ours: int) -> tuple[list[Any], dict[tuple[str, str], str]]:
    """Read the definition of each object alone. Return the rows, and a finding for each object without a definition.

    The key of a finding is the table and the name of the object.

    The attack: a superuser stores an expression that PostgreSQL cannot read, where PostgreSQL itself never reads it.
    """
    rows, findings = list[Any](), dict[tuple[str, str], str]()
    # Without the definition, PostgreSQL does not read the expressions.
    names = f"SELECT DISTINCT owner, name FROM ({query}) AS each ORDER BY 1, 2"  # noqa: S608 - a constant
    for owner, name in _rows(connection, names, ours=ours):
        one = f"{_bounded(query)} WHERE owner = :owner AND name = :name"
        try:
            rows += _rows(connection, one, ours=ours, owner=owner, name=name)
        except DBAPIError as error:
            if is_of_server(error):
                raise
            findings[owner, name] = f"The {name} cannot be read: {reason_of(error)}."
    return rows, findings


def _rows(connection: Connection, query: str, **arguments: Any) -> Sequence[Any]:
    """Run the query in a savepoint, so that an error does not end the transaction."""
    with connection.begin_nested():
        return connection.execute(text(query), arguments).all()


def _bounded(query: str) -> str:
    """Return the query with texts cut to `LONGEST` characters. A cut text equals no text of AuthSec."""
    too_long = f"CASE WHEN length(tree) > {LONGEST} THEN '{TOO_LONG}' END"
    columns = f"left(name, {LONGEST}) AS name, left(concat({too_long}, definition), {LONGEST}) AS definition"
    return f"SELECT owner, {columns}, left(tree, {LONGEST}) AS tree FROM ({query}) AS each"  # noqa: S608 - constants


def _months(rows: Sequence[Any], schema: str) -> dict[str, str]:
    """Return the month of each partition that is named after its parent and a month."""
    found = {}
    for row in rows:
        month = _MONTHLY.fullmatch(row.owner)
        parent = _unqualified(row.definition or "", schema).partition(" ")[0].removeprefix(SCHEMA)
        if month and row.name == f"partition {row.owner}" and parent == month[1]:
            found[row.owner] = f"{month[2]}_{month[3]}"
    return found


def _bounds(month: str) -> str:
    year, number = map(int, month.split("_"))
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    first, end = (f"{y:04}-{m:02}-01 00:00:00+00" for y, m in ((year, number), after))
    return f"FOR VALUES FROM ('{first}') TO ('{end}')"


def _renamed(value: str, name: str, general: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", general, value)


def _unqualified(value: str, schema: str) -> str:
    """Replace the schema's name with `SCHEMA.`.

    Without this mark, a type `public.text` would read like PostgreSQL's own type.
    """
    plain = rf"{schema}|" if re.fullmatch(r"[a-z_][a-z0-9_]*", schema) else ""  # in quotes if it is a word of SQL
    return re.sub(rf'(?<![\w".])(?:{plain}{re.escape(quoted(schema))})\.', SCHEMA, value)


def as_created(definition: str) -> str:
    """Rewrite the arrays in the condition of an index to the form of a newly created index.

    In an index from a restored dump, the condition casts each member of an array instead.
    """
    return _CAST_MEMBERS.sub(_with_one_cast, definition)


def _with_one_cast(found: re.Match[str]) -> str:
    return "(ARRAY[" + _CAST_MEMBER.sub(r"\1", found[1]) + "])::text[]"


def _paths_of_roles(connection: Connection, ours: int) -> list[tuple[str, list[str]]]:
    """Return the search paths that are set for the database, or for roles that may write events."""
    found = []
    for row in connection.execute(text(ROLE_SETTINGS), {"ours": ours}):
        if row.name == "search_path":
            names = [name.strip().strip('"').replace('""', '"') for name in row.value.split(",")]
            names = [row.role if name == "$user" else name for name in names if name]
            names = names if "pg_catalog" in names else ["pg_catalog", *names]
            found.append((row.who[:1].upper() + row.who[1:], [name for name in names if name]))
    return found


def _path_findings(connection: Connection, who: str, path: Sequence[str], ours: tuple[int, str]) -> Iterator[str]:
    """Report a search path that leads to other tables than AuthSec's, or to another operator `=` than PostgreSQL's."""
    names = [name for name in path if not name.startswith("pg_temp")]
    if not names or names[0] != "pg_catalog":
        yield f"{who} has the search path {', '.join(path)}, which begins with another schema than pg_catalog."
    for row in connection.execute(text(FIRST_OF_PATH), {"ours": ours[0], "path": names}):
        yield (
            f"{who} finds {row.schema}.{row.name} instead of {ours[1]}.{row.name}: its schema comes first in the search"
            " path."
        )


@dataclass(frozen=True, slots=True)
class Skipped:
    """A table with a check that could not run, and the reason."""

    table: str
    reason: str


def skipped_sentences(connection: Connection, schema: int, skipped: Iterable[Skipped]) -> Iterator[str]:
    """Yield a sentence for each reason why checks were skipped, with the statements that fix the cause."""
    left: dict[str, set[str]] = {}
    for each in skipped:
        left.setdefault(each.reason, set()).add(each.table)
    if not left:
        return
    with careful(connection):
        rows = connection.execute(text(LACKED_TABLES), {"schema": schema}).all()
        functions = connection.execute(text(LACKED_FUNCTIONS)).all()
    unreadable = {row.name: row for row in rows}
    denied = sorted({table for tables in left.values() for table in tables if table in unreadable})
    if denied:
        yield (
            f"The role {rows[0].role} has no permission to read {', '.join(denied)}. Unreadable tables were not"
            f" compared with their indexes and months. {_grants([unreadable[name] for name in denied])}"
        )
    for reason, tables in left.items():
        if others := sorted(tables - unreadable.keys()):
            lacked = [row.signature for row in functions if row.name in reason]
            grants = " ".join(f"GRANT EXECUTE ON FUNCTION pg_catalog.{each} TO PUBLIC;" for each in lacked)
            remedy = f"Run as a superuser: {grants}" if lacked else "Verify again."
            yield f"The indexes of {', '.join(others)} were not compared with their tables: {reason}. {remedy}"


def _grants(tables: list[Any]) -> str:
    """Return the statements that allow the role to read the existing tables and future ones."""
    first = tables[0]
    owners = " ".join(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {first.schema} GRANT SELECT ON TABLES TO {first.role};"
        for owner in sorted({row.owner for row in tables})
    )
    return f"Run as a superuser: GRANT SELECT ON ALL TABLES IN SCHEMA {first.schema} TO {first.role}; {owners}"
