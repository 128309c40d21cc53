"""SQLite files with the schema of the first migration of this process: alembic runs once.

Many tests open an authority on an empty folder. Each ran alembic, which takes most of the time of a first start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from authsec_server.db import migrate
from sqlalchemy import Connection

_OURS: Final = "FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
_SCHEMA: Final = f"SELECT sql {_OURS} ORDER BY rowid"
_TABLES: Final = f"SELECT name {_OURS} AND type = 'table' ORDER BY rowid"
_SEQUENCES: Final = "sqlite_sequence"  # SQLite makes it, and changes its rows with each row of another table


class MigratedOnce:
    """`upgrade` of `authsec_server.db.migrate`, for SQLite."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, list[tuple[Any, ...]]]] = []
        self.genuine: Callable[..., None] = migrate.upgrade

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Make the schema of the first migration. A file that has a schema is upgraded by alembic."""
        if revision != "head" or migrate.has_schema(connection):
            self.genuine(connection, revision)
        elif self._steps:
            for statement, rows in self._steps:
                connection.exec_driver_sql(statement, rows or None)
        else:
            self.genuine(connection, revision)
            self._steps = _steps_of(connection)


def _steps_of(connection: Connection) -> list[tuple[str, list[tuple[Any, ...]]]]:
    steps: list[tuple[str, list[tuple[Any, ...]]]] = [
        (statement, []) for statement in connection.exec_driver_sql(_SCHEMA).scalars()
    ]
    for table in [*connection.exec_driver_sql(_TABLES).scalars(), _SEQUENCES]:
        rows = [tuple(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"')]
        if table == _SEQUENCES:
            steps.append((f"DELETE FROM {table}", []))
        if rows:
            steps.append((f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(rows[0]))})', rows))
    return steps
