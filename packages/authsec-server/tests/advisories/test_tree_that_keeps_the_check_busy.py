"""Somebody writes a tree into the SQLite file whose pages name the same child hundreds of times, on several levels.

A read of the table shows its few rows again and again, some hundred million times. So `verify` reports nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database, sqlite_reading
from long_runs import some_of

LEVELS, CHILDREN = 4, 400
INTERIOR = 5  # the type of a page of a table


def _page(child: int, size: int) -> bytes:
    """Build an interior page: a header, the places of the cells, and at the end the cells (child, rowid 1)."""
    first = size - 5 * CHILDREN
    header = bytes([INTERIOR, 0, 0]) + CHILDREN.to_bytes(2) + first.to_bytes(2) + b"\0" + child.to_bytes(4)
    places = b"".join((first + 5 * each).to_bytes(2) for each in range(CHILDREN))
    page = header + places
    return page + bytes(first - len(page)) + (child.to_bytes(4) + b"\1") * CHILDREN


def _make_endless(file: Path, table: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    octets = bytearray(file.read_bytes())
    number = len(octets) // size + 1
    octets += octets[(root - 1) * size : root * size]  # the leaf with the rows
    for _ in range(LEVELS - 1):
        octets += _page(number, size)
        number += 1
    octets[(root - 1) * size : root * size] = _page(number, size)
    octets[28:32] = number.to_bytes(4)
    file.write_bytes(octets)


@pytest.mark.parametrize("table", some_of(["number_ranges", "roles", "events", "sealed_events"], each=2))
def test_a_tree_without_an_end_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    monkeypatch.setattr(sqlite_reading, "STEPS_PER_BYTE", 5)
    monkeypatch.setattr(sqlite_reading, "STEPS", 0)
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        fill(database)
    _make_endless(file, table)
    with closing(open_database(f"sqlite:///{file}")) as database:
        report = database.check(lambda tx: verify(tx, {}, now=LATER))
    assert "The database file is damaged: " in report.findings[0]
    assert report.findings[-1] == "The tables could not be read to the end."
