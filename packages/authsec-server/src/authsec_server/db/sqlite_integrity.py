"""Check the tables and indexes of an SQLite file, without computing anything that others put into the schema.

The attack: SQLite's own checks compute each constraint, generated column and condition of an index. Somebody adds a
table whose constraint takes hours. While a function such as LIKE computes, nothing can interrupt SQLite.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from authsec_server.db.catalog import OBJECTS, WITHOUT_ROWID, genuine_objects, listing_of, reference_listing
from authsec_server.db.quoting import quoted
from authsec_server.db.sqlite_index_check import index_findings, is_busy
from authsec_server.db.sqlite_reading import any_text, is_late, limit_cache, limited_driver, limited_steps
from authsec_server.db.text_check import TABLES, sqlite_text_findings

_MOST: Final = 100  # lines of one check
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")  # SQLite would read any other name as a number of lines
_OF_PAGES: Final = "*** in database main ***"  # the beginning of SQLite's findings about pages, not about rows
_WITH_OCTET_LENGTH: Final = (3, 43)
_GENERATED: Final = frozenset({2, 3})  # `hidden` in `PRAGMA table_xinfo`: computed when read, computed when written
# The stored definition of any other kind of table has other first words.
_ORDINARY: Final = (
    "SELECT CAST(name AS BLOB), substr(CAST(sql AS BLOB), 1, 13) = CAST('CREATE TABLE ' AS BLOB)"
    " FROM sqlite_master NOT INDEXED WHERE type = 'table'"
)


def sqlite_damage(connection: Connection) -> tuple[list[str], bool]:
    """Check SQLite's tables and indexes. Return the findings, and whether the tables of AuthSec can be read.

    The tables cannot be read if a definition differs from the migrations, if rows share pages, or if the check did not
    end.
    Raises the driver's errors when the database is busy.
    """
    findings: list[str] = []
    is_readable = False
    try:
        with any_text(connection, "backslashreplace"), limited_steps(connection):
            found, expected = listing_of(connection), reference_listing("sqlite")[OBJECTS]
            genuine = genuine_objects(found, expected)
            is_exact = len(genuine) == len(expected) == len(found.objects) and not found.findings
            is_readable = all(name in genuine for name in expected if name.startswith("table "))
            tables = [] if found.findings else list(_intact(connection, genuine))
            findings += _own_check(connection, [str(_MOST)] if is_exact else map(quoted, tables))
            if not findings:
                findings += (each for table in tables for each in index_findings(connection, table, genuine))
            doubtful = [name for each in genuine if (name := _table(each)) and (findings or name not in tables)]
            sharing = list(_sharing(connection, doubtful, findings))
            findings += sharing
            is_readable = is_readable and not sharing
            if "encoding" in genuine and not sharing:
                findings += (
                    each for table in tables if table in TABLES for each in sqlite_text_findings(connection, table)
                )
    except DatabaseError as error:
        if is_busy(error):
            raise
        if is_late(error):
            return [*findings, "The check of the database file did not end."], False
        findings.append(f"The database file is damaged: {error.orig}.")
    return findings, is_readable


def quick_check(connection: sqlite3.Connection, most: int) -> list[str]:
    """Run `PRAGMA quick_check` of any schema, and return its lines; `["ok"]` without damage. Raises `sqlite3.Error`.

    If a table would compute something, the other tables are checked one by one. `is_late` recognises the error of a
    check that needs more instructions than a file of this size can need.
    """
    connection.execute("PRAGMA ignore_check_constraints = ON")
    limit_cache(connection)
    with limited_driver(connection):
        tables, plain = 0, dict[bytes, None]()  # not all names: very many rows can share one long name
        for name, is_ordinary in connection.execute(_ORDINARY):
            tables += 1
            if is_ordinary and _is_plain(connection, name):
                plain[name] = None
        checks = [f"({most})"] if len(plain) == tables else [f"({quoted(name.decode())})" for name in plain]
        rows = [str(row[0]) for check in checks for row in connection.execute(f"PRAGMA quick_check{check}")]
    return [row for row in rows if row != "ok"] or ["ok"]


def _is_plain(connection: sqlite3.Connection, name: bytes | None) -> bool:
    """Whether SQLite has the table, and no column of the table is computed."""
    if name is None or not _NAME.fullmatch(name):
        return False
    columns = connection.execute(f"PRAGMA main.table_xinfo({quoted(name.decode())})").fetchall()
    return bool(columns) and not any(column[-1] in _GENERATED for column in columns)


def _intact(connection: Connection, genuine: Mapping[str, str]) -> Iterator[str]:
    """Yield the tables that are as the migrations make them, with all indexes that SQLite uses for them."""
    for name, definition in sorted(genuine.items()):
        table = _table(name)
        if not table:
            continue
        indexes = connection.exec_driver_sql(f"PRAGMA main.index_list({quoted(table)})").all()
        is_tree = definition.endswith(WITHOUT_ROWID)  # its primary key is the table itself
        if all((is_tree and each.origin == "pk") or f"index {each.name} of {table}" in genuine for each in indexes):
            yield table


def _sharing(connection: Connection, tables: Iterable[str], damage: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each table whose rows have more octets than the file.

    The attack: very many rows share the pages of one long text. SQLite reads the whole text for each row, which takes
    hours. The limit on instructions does not end this, because each read has only a few. `octet_length` reads no such
    page.
    """
    if sqlite3.sqlite_version_info < _WITH_OCTET_LENGTH:
        if any(_OF_PAGES in each for each in damage):
            yield "The rows of the damaged tables may share pages."
        return
    sql = connection.exec_driver_sql
    size = sql("PRAGMA page_count").scalar_one() * sql("PRAGMA page_size").scalar_one()
    for table in tables:
        left = size
        for column in sql(f"PRAGMA main.table_info({quoted(table)})").all():
            for octets in _lengths(connection, table, column.name):
                left -= octets
                if left < 0:
                    break
        if left < 0:
            yield f"The rows of the table {table} share pages: they have more octets than the file."


def _lengths(connection: Connection, table: str, column: str) -> Iterator[int]:
    """Yield the length of each value up to a damaged row. Such a row ends a statement, so each column has its own."""
    name = quoted(column)
    statement = f"SELECT octet_length({name}) FROM {quoted(table)} NOT INDEXED WHERE typeof({name}) IN ('text', 'blob')"  # noqa: S608 - quoted names
    try:
        with connection.exec_driver_sql(statement) as rows:
            yield from rows.scalars()
    except DatabaseError as error:
        if is_busy(error) or is_late(error):
            raise


def _table(name: str) -> str:
    """Return the name of a table, or an empty text for the name of another object."""
    return name.removeprefix("table ") if name.startswith("table ") else ""


def _own_check(connection: Connection, arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        for row in connection.exec_driver_sql(f"PRAGMA main.integrity_check({argument})").scalars():
            if row != "ok":
                yield f"The database file is damaged: {' '.join(str(row).split())}."
