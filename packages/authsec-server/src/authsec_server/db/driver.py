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
        for first in range(0, len(rows), AT_ONCE):
            some = rows[first : first + AT_ONCE]
            inserted += connection.exec_driver_sql(
                _statement(table, tuple(names), "%s", len(some), keep=keep), tuple(chain.from_iterable(some))
            ).rowcount
    else:
        inserted = connection.exec_driver_sql(_statement(table, tuple(names), "?", 1, keep=keep), list(rows)).rowcount
    refuse_interference(connection, table, before, rows=inserted if keep else len(rows), written=inserted)


@lru_cache(maxsize=512)
def _statement(table: str, names: tuple[str, ...], mark: str, count: int, *, keep: bool) -> str:
    row = f"({', '.join([mark] * len(names))})"
    conflict = " ON CONFLICT DO NOTHING" if keep else ""
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * count)}{conflict}"  # noqa: S608 - names from here
