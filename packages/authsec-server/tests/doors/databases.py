"""Settings for a house on either database, databases that are filled once, and one whose events are made up."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from authsec_server.db import Database, Tx, metadata
from authsec_server.db.schema import authority
from sqlalchemy import update

T = TypeVar("T")


def raise_version_to(database: Database, version: int) -> None:
    """Set the authority's version, for events that are made up at versions of their own."""
    database.append(lambda tx: tx.connection.execute(update(authority).values(version=version)))


def settings_for(database_url: str, folder: Path) -> dict[str, Any]:
    """For `house(**…)`: the database at that URL, and for PostgreSQL the key file that it wants beside it."""
    if database_url.startswith("sqlite"):
        return {}
    key = folder / "master.key"
    key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    key.chmod(0o600)
    return {"database": database_url, "master_key_file": key}


@dataclass(frozen=True, slots=True)
class _OnSqlite(Generic[T]):
    """A filled SQLite database, in memory, and what filling it returned."""

    database: sqlite3.Connection
    returned: T


@dataclass(frozen=True, slots=True)
class _OnPostgresql(Generic[T]):
    """The rows and sequences of a filled PostgreSQL database, and what filling it returned."""

    rows: Mapping[str, bytes]
    sequences: Mapping[str, int]
    returned: T


class FilledOnce(Generic[T]):
    """Fills the first database of each kind in this process. Each further one becomes a copy of it."""

    def __init__(self) -> None:
        self._sqlite: _OnSqlite[T] | None = None
        self._postgresql: _OnPostgresql[T] | None = None

    def fill(self, database: Database, fill: Callable[[], T]) -> T:
        """Return what `fill` returned for the first database of that kind."""
        return self._fill_sqlite(database, fill) if database.dialect == "sqlite" else self._fill_other(database, fill)

    def _fill_sqlite(self, database: Database, fill: Callable[[], T]) -> T:
        with closing(sqlite3.connect(_file_of(database))) as there:
            if self._sqlite is None:
                self._sqlite = _OnSqlite(sqlite3.connect(":memory:", check_same_thread=False), fill())
                there.backup(self._sqlite.database)
            else:
                self._sqlite.database.backup(there)
        return self._sqlite.returned

    def _fill_other(self, database: Database, fill: Callable[[], T]) -> T:
        if database.read(_has_numbered):
            return fill()  # a test has written before, or wants other numbers
        if self._postgresql is None:
            returned = fill()
            self._postgresql = _OnPostgresql(database.read(_rows), database.read(_sequences), returned)
        else:
            filled = self._postgresql
            database.append(lambda tx: _write(tx, filled.rows, filled.sequences))
        return self._postgresql.returned


def _file_of(database: Database) -> str:
    row = database.read(lambda tx: tx.connection.exec_driver_sql("PRAGMA database_list").one())
    return str(row.file)


def _has_numbered(tx: Tx) -> bool:
    return bool(tx.connection.exec_driver_sql("SELECT is_called FROM events_id_seq").scalar_one())


def _rows(tx: Tx) -> Mapping[str, bytes]:
    cursor = _cursor(tx)
    rows = {}
    for name in metadata.tables:
        with cursor.copy(f"COPY (SELECT * FROM {name}) TO STDOUT") as copy:
            rows[name] = b"".join(copy)
    return {name: each for name, each in rows.items() if each}


def _sequences(tx: Tx) -> Mapping[str, int]:
    used = "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"
    return {row.sequencename: row.last_value for row in tx.connection.exec_driver_sql(used)}


def _write(tx: Tx, rows: Mapping[str, bytes], sequences: Mapping[str, int]) -> None:
    cursor = _cursor(tx)
    for table in metadata.sorted_tables:
        if table.name in rows:
            cursor.execute(f"DELETE FROM {table.name}")
            with cursor.copy(f"COPY {table.name} FROM STDIN") as copy:
                copy.write(rows[table.name])
    for name, value in sequences.items():
        cursor.execute("SELECT setval(%s::regclass, %s)", (name, value))


def _cursor(tx: Tx) -> Any:
    """The driver's own: SQLAlchemy knows no COPY."""
    return tx.connection.connection.cursor()
