"""Find text that is not UTF-8. `verify` calls this check for the tables that it cannot compare with events.

SQLite stores any octets as text, and PostgreSQL does the same after a cast from `bytea`. AuthSec can read only UTF-8.
The attack: raw SQL writes other octets to the table `authority`. Then every server and command refuses the database
as damaged, and no event shows the cause.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection

# `verify` compares the text of all other tables with events. For example, no event has a password hash.
TABLES: Final = (
    "administrators",
    "authority",
    "enrolments",
    "feed_followers",
    "feed_keys",
    "sealing_key_lists",
    "sealing_keys",
    "sessions",
    "setup_links",
    "table_digests",
    "trusted_issuer_keys",
    "used_assertions",
)
_LONGEST: Final = 2**20  # octets of a text that are read
_UTF_8 = getincrementaldecoder("utf-8")


def sqlite_text_findings(connection: Connection, table: str) -> Iterator[str]:
    """Yield a sentence for each column of this table that has text in another encoding than UTF-8. SQLite only."""
    names = [each.name for each in connection.exec_driver_sql(f"PRAGMA main.table_info({table})")]
    octets = (f"CASE typeof({name}) WHEN 'text' THEN substr(CAST({name} AS BLOB), 1, {_LONGEST}) END" for name in names)
    wrong = set[str]()
    with connection.exec_driver_sql(f"SELECT {', '.join(octets)} FROM {table} NOT INDEXED") as rows:  # noqa: S608 - of the schema
        for row in rows:
            wrong.update(name for name, value in zip(names, row, strict=True) if not _is_utf_8(value))
    yield from (_sentence(table, name) for name in names if name in wrong)


def postgresql_text_findings(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each column of `TABLES` that has text in another encoding than UTF-8. PostgreSQL only.

    A table is left out if it is missing or the role may not read it: other checks report it.
    """
    from authsec_server.db.catalog_copy import is_utf_8  # not imported on SQLite
    from authsec_server.db.table_copy import TableCopies

    copies = TableCopies(connection)
    for table in TABLES:
        names = [name for name in copies.columns(table) if name.isprintable()]
        wrong = set[str]()
        if names and copies.can_read(table, names):
            for row in copies.rows(table, names):
                if not "".join(filter(None, row)).isascii():
                    wrong.update(name for name, value in zip(names, row, strict=True) if not is_utf_8(value or ""))
        yield from (_sentence(table, name) for name in names if name in wrong)
        if table in copies.too_long:
            yield f"Rows of {table} have a value that is longer than any that a server writes."
        if table in copies.cut_short:
            yield cut_short(table)


def cut_short(table: str) -> str:
    """Return the finding about a text in PostgreSQL that continues after an octet 0."""
    return f"The table {table} has a text with octet 0: PostgreSQL shows only the text before it."


def _sentence(table: str, column: str) -> str:
    return f"The column {column} of the table {table} has a text that is not UTF-8, which no server can read."


def _is_utf_8(octets: Any) -> bool:
    try:
        _UTF_8().decode(octets or b"", final=len(octets or b"") < _LONGEST)
    except UnicodeDecodeError:
        return False
    return True
