"""Somebody adds a table of one row to the SQLite file, with an expression that takes hours to compute.

`authsec backup` checks its copy by `PRAGMA quick_check`, which computes constraints and generated columns.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from authsec_server.db import open_database
from authsec_server.db.sqlite_files import copy_database
from authsec_server.db.sqlite_integrity import quick_check
from long_runs import some_of

SECONDS = 40
LONG = (
    "replace(hex(zeroblob(5000000)), '0', 'a')"
    " LIKE '%' || substr(replace(hex(zeroblob(25000)), '0', 'a'), 1, 49000) || 'b'"
)
TABLES = {
    "a constraint": f"CREATE TABLE evil (x, CHECK ({LONG}))",
    "a generated column": f"CREATE TABLE evil (x, y TEXT NOT NULL AS ({LONG}) VIRTUAL)",
}


@pytest.mark.soak
@pytest.mark.parametrize("way", some_of(TABLES, each=2))
def test_a_table_that_takes_long_does_not_keep_a_backup_busy(tmp_path: Path, way: str) -> None:
    file, copy = tmp_path / "authsec.sqlite3", tmp_path / "copy"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE evil (x)")
        connection.execute("INSERT INTO evil VALUES (0)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'evil'", (TABLES[way],))
    copying = multiprocessing.get_context("spawn").Process(target=copy_database, args=(file, copy))
    copying.start()
    copying.join(SECONDS)
    copying.kill()
    copying.join()
    assert copying.exitcode == 0
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM roles").fetchone() == (0,)


def test_a_damaged_table_beside_it_is_still_found(tmp_path: Path) -> None:
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("CREATE TABLE evil (x, y AS (x) VIRTUAL)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'roles'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as octets:
        octets.seek((page - 1) * size)
        octets.write(b"\xff" * size)
    with closing(sqlite3.connect(file)) as connection, pytest.raises(sqlite3.DatabaseError, match="malformed"):
        quick_check(connection, 1)
