"""Several requests come to a server that has just started, on SQLite.

Before its first connection, the server checks the `-wal` file. The check opens the database file and closes it, and
POSIX then ends all locks of the process on that file. If another request had a connection by then, a command that ends
would delete the `-wal` file of that connection, with every commit in it.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest
from authsec_server.db import open_database, sqlite


def test_no_connection_is_opened_before_the_last_check(
    tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "authsec.sqlite3"
    path.write_bytes(migrated_file.read_bytes())
    done: list[str] = []
    first, is_checking, go_on = Lock(), Event(), Event()
    check, connect = sqlite.refuse_leftovers, sqlite3.connect

    def checked(file: Path) -> None:
        if first.acquire(blocking=False):
            is_checking.set()
            go_on.wait(0.5)  # the other request opens a connection meanwhile, if nothing keeps it from that
        check(file)
        done.append("checked")

    def connected(*arguments: Any, **named: Any) -> sqlite3.Connection:
        done.append("connected")
        return connect(*arguments, **named)

    database = open_database(f"sqlite:///{path}")
    monkeypatch.setattr(sqlite, "refuse_leftovers", checked)
    monkeypatch.setattr(sqlite3, "connect", connected)
    with ThreadPoolExecutor() as threads:
        one = threads.submit(database.read, lambda tx: tx.version)
        assert is_checking.wait(10)
        other = threads.submit(database.read, lambda tx: tx.version)
        assert one.result() == other.result()
    database.close()
    assert "checked" not in done[done.index("connected") :]
