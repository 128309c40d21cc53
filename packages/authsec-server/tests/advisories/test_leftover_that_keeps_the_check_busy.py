"""Somebody writes a tree without an end into the SQLite file, and puts a `-wal` file with one commit beside it.

Before SQLite applies such a file, each command and each server runs `PRAGMA quick_check`, which nothing interrupts. The
tree repeats a page so seldom that SQLite counts fewer than 100 errors, and then reads its rows: some hundred thousand
million. So `verify` never ends, and no server starts.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from audit_answers import fill
from authsec_server.db import open_database, sqlite_reading
from authsec_server.db.sqlite_leftovers import refuse_leftovers
from authsec_server.failures import StartupRefused

LEVELS, CELLS = 18, 4  # SQLite follows 20 levels
INTERIOR = 5  # the type of a page of a table
CELL = 13  # octets: the child, and a negative rowid
AT_ONCE = 100_000
MOST = 500 * AT_ONCE  # instructions: the file has some 600 kB


class Counting(sqlite3.Connection):
    """A connection that interrupts itself after `MOST` instructions, unless somebody else bounds them."""

    exceeded = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.left = MOST
        self.set_progress_handler(self._is_over, AT_ONCE)

    def _is_over(self) -> bool:
        self.left -= AT_ONCE
        Counting.exceeded |= self.left < 0
        return self.left < 0


def _rowid(value: int) -> bytes:
    """Encode a negative rowid: nine octets."""
    value, octets = value % 2**64, b""
    for place in range(8):
        octets = bytes([0x80 | value >> 8 + 7 * place & 0x7F]) + octets
    return octets + bytes([value & 0xFF])


def _page(child: int, size: int, level: int) -> bytes:
    """Build an interior page: a header, the places of the cells, and at the end the cells. Its rowids ascend."""
    cells = b"".join(child.to_bytes(4) + _rowid(number - 10 * level) for number in range(CELLS))
    first = size - len(cells)
    header = bytes([INTERIOR, 0, 0]) + CELLS.to_bytes(2) + first.to_bytes(2) + b"\0" + child.to_bytes(4)
    page = header + b"".join((first + CELL * number).to_bytes(2) for number in range(CELLS))
    return page + bytes(first - len(page)) + cells


def _make_endless(file: Path, table: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    octets = bytearray(file.read_bytes())
    number = len(octets) // size + 1
    octets += octets[(root - 1) * size : root * size]  # the leaf with the rows
    for level in range(1, LEVELS):
        octets += _page(number, size, level)
        number += 1
    octets[(root - 1) * size : root * size] = _page(number, size, LEVELS)
    octets[18:20] = b"\2\2"  # the write-ahead log is in use
    octets[28:32] = number.to_bytes(4)
    file.write_bytes(octets)


def _leave_a_commit(file: Path) -> None:
    copy = file.with_name("copy.sqlite3")
    shutil.copy(file, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 7")
        shutil.copy(f"{copy}-wal", f"{file}-wal")


def test_the_check_of_a_leftover_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        fill(database)
    _make_endless(file, "roles")
    _leave_a_commit(file)
    monkeypatch.setattr(sqlite_reading, "STEPS", 1_000_000)
    connect = sqlite3.connect
    monkeypatch.setattr(Counting, "exceeded", False)
    monkeypatch.setattr(sqlite3, "connect", lambda *its, **named: connect(*its, factory=Counting, **named))
    with pytest.raises(StartupRefused, match="did not end"):
        refuse_leftovers(file)
    assert not Counting.exceeded
