"""Read an SQLite file that somebody may have written by hand: with text that is not UTF-8, or trees without an end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

# Instructions of SQLite's virtual machine: unlike seconds, their number is the same on each machine. `verify` needs up
# to seven for each byte of a large file.
STEPS: Final = 20_000_000
STEPS_PER_BYTE: Final = 40
_AT_ONCE: Final = 10_000
_CACHE_KIB: Final = 2000  # SQLite's own default


@contextmanager
def any_text(connection: Connection, errors: str = "surrogateescape") -> Iterator[None]:
    """Within this context, decode SQLite text that is not UTF-8 without an error.

    By default, each invalid byte becomes a lone surrogate. `errors` is the name of another error handler of `codecs`.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = sqlite_driver_of(connection)
    before, driver.text_factory = driver.text_factory, lambda octets: octets.decode("utf-8", errors)
    try:
        yield
    finally:
        driver.text_factory = before


def rows_without_rowid(table: str) -> str:
    """Return the SQL that names a table `WITHOUT ROWID` in a FROM clause, so that SQLite reads no other index.

    Such a table is the index of its primary key. For it, SQLite ignores `NOT INDEXED`. `table` is a plain name.
    """
    return f'"{table}" INDEXED BY "sqlite_autoindex_{table}_1"'


@contextmanager
def limited_steps(connection: Connection) -> Iterator[None]:
    """Within this context, limit the instructions of SQLite. No honest file of this size needs so many.

    The attack: pages of a tree name each other as children, so that a read of the tree has no end. `is_late`
    recognises the error of an interrupted statement. No effect on PostgreSQL, which has timeouts.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    with limited_driver(sqlite_driver_of(connection)):
        yield


@contextmanager
def limited_driver(driver: sqlite3.Connection) -> Iterator[None]:
    """Within this context, limit a connection of the driver as `limited_steps` does."""
    pages, octets = (driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    left: int = STEPS + STEPS_PER_BYTE * pages * octets

    def is_over() -> bool:
        nonlocal left
        left -= _AT_ONCE
        return left < 0

    driver.set_progress_handler(is_over, _AT_ONCE)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def limit_cache(driver: sqlite3.Connection) -> None:
    """Limit the cache of the connection.

    The attack: `PRAGMA default_cache_size` writes a size into the file, so that each connection keeps the whole file in
    memory.
    """
    driver.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def is_late(error: DatabaseError | sqlite3.Error) -> bool:
    """Whether `limited_steps` or `limited_driver` interrupted the statement."""
    return getattr(getattr(error, "orig", error), "sqlite_errorname", "") == "SQLITE_INTERRUPT"


def sqlite_driver_of(connection: Connection) -> Any:
    """Return the driver's connection of a SQLAlchemy connection."""
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver
