"""Insert many rows with statements of the driver. SQLAlchemy takes longer for a statement than the database does.

Errors are those of SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

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
        for first in range(0, len(rows), AT_ONCE):
            some = rows[first : first + AT_ONCE]
            inserted += connection.exec_driver_sql(
                _statement(table, tuple(names), "%s", len(some), keep=keep), tuple(chain.from_iterable(some))
            ).rowcount
    else:
        inserted = connection.exec_driver_sql(_statement(table, tuple(names), "?", 1, keep=keep), list(rows)).rowcount
    refuse_interference(connection, table, before, rows=inserted if keep else len(rows), inserted=inserted)


def changes(connection: Connection) -> int:
    """Return the number of rows that SQLite has changed in this session, also by triggers; 0 on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return 0
    driver: Any = connection.connection.driver_connection
    total: int = driver.total_changes
    return total


def refuse_interference(connection: Connection, table: str, before: int, *, rows: int, inserted: int) -> None:
    """Raise `Unavailable` if the database has not inserted the `rows`, or if SQLite changed others as well.

    `before` are the `changes` before the statement. The attack: a trigger leaves out the event of a token, or deletes
    the event.
    """
    if inserted != rows or (connection.dialect.name == "sqlite" and changes(connection) - before != rows):
        raise interference(table)


def interference(table: str) -> Unavailable:
    """Log that the database does not insert what servers insert into the table, and return the failure."""
    log.error("a trigger or a rule changes what servers insert: authsec audit verify", table=table)
    message = f"A trigger or a rule changes what servers insert into the table {table}."
    return Unavailable(message, "The operator finds the trigger or rule: authsec audit verify")


@lru_cache(maxsize=512)
def _statement(table: str, names: tuple[str, ...], mark: str, count: int, *, keep: bool) -> str:
    row = f"({', '.join([mark] * len(names))})"
    conflict = " ON CONFLICT DO NOTHING" if keep else ""
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * count)}{conflict}"  # noqa: S608 - names from here
