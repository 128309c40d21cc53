"""Insert many rows with statements of the driver. SQLAlchemy needs more time for a statement than the database.

Errors are raised as SQLAlchemy's errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection

from authsec_server.db.interference import changes, refuse_interference

AT_ONCE: Final = 128  # rows of one statement on PostgreSQL


def insert_rows(
    connection: Connection, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]], *, keep: bool = False
) -> None:
    """Insert the rows. Their values have the driver's types and the order of `names`.

    On PostgreSQL, where each statement is a round trip, one statement inserts many rows. With `keep`, a row that the
    table already has under the same key stays as it is. Raises `Unavailable` if a trigger or a rule interferes.
    """
    if not rows:
        return
    before, inserted = changes(connection), 0
    if connection.dialect.name == "postgresql":
        from authsec_server.db.postgresql_connection import execute_numbered  # imports psycopg, for PostgreSQL only

        for first in range(0, len(rows), AT_ONCE):
            some = rows[first : first + AT_ONCE]
            statement = _numbered(table, tuple(names), len(some), keep=keep)
            inserted += execute_numbered(connection, statement, tuple(chain.from_iterable(some)))
    else:
        inserted = connection.exec_driver_sql(_statement(table, tuple(names), keep=keep), list(rows)).rowcount
    refuse_interference(connection, table, before, rows=inserted if keep else len(rows), written=inserted)


@lru_cache(maxsize=512)
def _numbered(table: str, names: tuple[str, ...], count: int, *, keep: bool) -> str:
    """Return the statement that inserts `count` rows on PostgreSQL."""
    places = [f"${place}" for place in range(1, count * len(names) + 1)]
    rows = (places[first : first + len(names)] for first in range(0, len(places), len(names)))
    return _insert(table, names, ", ".join(f"({', '.join(row)})" for row in rows), keep=keep)


@lru_cache(maxsize=64)
def _statement(table: str, names: tuple[str, ...], *, keep: bool) -> str:
    """Return the statement that inserts one row on SQLite."""
    return _insert(table, names, f"({', '.join('?' * len(names))})", keep=keep)


def _insert(table: str, names: tuple[str, ...], rows: str, *, keep: bool) -> str:
    conflict = " ON CONFLICT DO NOTHING" if keep else ""
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {rows}{conflict}"  # noqa: S608 - names from here
