"""A small durable write that leaves no row: a test that the database can record."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.database import Tx
from authsec_server.failures import Fault, Unavailable

_LARGEST = 2**31 - 1
_NO_TEMPORARY_FILES = "53400"  # SQLSTATE configuration_limit_exceeded: temp_file_limit
# Logged in the transaction, so that its commit has to reach the disk, and every synchronous standby.
_LOG = text("SELECT clock_timestamp(), pg_is_in_recovery(), pg_logical_emit_message(true, 'authsec', 'readiness')")
# 8000 numbers need more than 64 kB, so PostgreSQL writes a temporary file to the disk of the tables.
_SPILL = (text("SET LOCAL work_mem = '64kB'"), text("SELECT count(*) FROM generate_series(1, 8000)"))


def write_durably(tx: Tx) -> datetime | None:
    """Write data that the commit of `tx` makes durable. Return the database server's time, or None for SQLite.

    On PostgreSQL, the write updates no row. Otherwise a server that froze with a locked row would make the other
    servers unready.
    """
    if tx.connection.dialect.name == "sqlite":
        _count_up(tx.connection)
        return None
    return _log_and_spill(tx.connection)


def _count_up(connection: Connection) -> None:
    """Increment `user_version`, which adds a page to the write-ahead log.

    SQLite reserves `user_version` for applications, and no other code writes it.
    """
    counted = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {(counted + 1) % _LARGEST}")


def _log_and_spill(connection: Connection) -> datetime:
    at, is_standby, _ = connection.execute(_LOG).one()
    if is_standby:
        raise Unavailable("The database is a standby and cannot be written.", fault=Fault.READ_ONLY)
    try:
        with connection.begin_nested():  # temporary files may be forbidden: then only this is rolled back
            for statement in _SPILL:
                connection.execute(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _NO_TEMPORARY_FILES:
            raise
    found: datetime = at
    return found.astimezone(UTC)
