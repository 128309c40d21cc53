"""Somebody writes a size of SQLite's cache into the file: `PRAGMA default_cache_size`.

SQLite takes the size from the header of the file. Without a limit, `verify` and each of a server's connections would
keep the whole file in memory: 900 MB instead of 90 MB for a file of 880 MB.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from authsec_server.db import Database, open_database
from authsec_server.db.sqlite_integrity import quick_check
from sqlalchemy import make_url

MANY_PAGES = 10_000_000


def cache_size(database: Database) -> int:
    size: int = database.check(lambda tx: tx.connection.exec_driver_sql("PRAGMA cache_size").scalar_one())
    return size


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_connection_takes_the_size_of_its_cache_from_the_file(database: Database, database_url: str) -> None:
    before = cache_size(database)
    with closing(sqlite3.connect(str(make_url(database_url).database))) as connection:
        connection.execute(f"PRAGMA default_cache_size = {MANY_PAGES}")
    with closing(open_database(database_url)) as opened:
        assert cache_size(opened) == before
        opened.check(lambda tx: tx.connection.exec_driver_sql("PRAGMA writable_schema = RESET") and None)
        assert cache_size(opened) == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_check_of_a_file_takes_the_size_of_its_cache_from_the_file(database: Database, database_url: str) -> None:
    before = cache_size(database)
    with closing(sqlite3.connect(str(make_url(database_url).database))) as connection:
        connection.execute(f"PRAGMA default_cache_size = {MANY_PAGES}")
        assert quick_check(connection, 1) == ["ok"]
        assert connection.execute("PRAGMA cache_size").fetchone() == (before,)
