"""Somebody writes very many rows into a table of the SQLite file, all of which share the pages of one long text.

Each row takes some 50 octets of the file. SQLite needs a few instructions for each row, so the limit of instructions is
never reached, although SQLite reads the whole text again for each row. The time of `verify` grows with the square of
the file: with 10 MB of rows and 10 MB of text, it is more than half an hour.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import open_database, text_check
from authsec_server.failures import Unavailable
from sqlite_pages import INNER_TABLE, LEAF_TABLE, as_varint, page_of_cells

TABLE = "sealing_key_lists"
ROWS = 1000
SIZE = 512  # of a page
PAGES = 2000  # of the text, after the first 39 octets
PAYLOAD = 39 + PAGES * (SIZE - 4)
TIMES = 100  # so often `verify` may read each octet of the file


def _record() -> bytes:
    """Build a row: the key 'k', a long text, and a time."""
    at = b"2026-11-25 12:00:00.000000"
    length = PAYLOAD - 6 - len("k") - len(at)
    kinds = as_varint(15) + as_varint(13 + 2 * length) + as_varint(13 + 2 * len(at))
    return bytes([1 + len(kinds)]) + kinds + b"k" + b"x" * length + at


class _Tree:
    """Pages that follow those of the file."""

    def __init__(self, former: int) -> None:
        self.former = former
        self.pages: list[bytes] = []

    @property
    def next(self) -> int:
        return self.former + len(self.pages) + 1

    def add_text(self, record: bytes) -> int:
        first = self.next
        for begin in range(39, PAYLOAD, SIZE - 4):
            following = self.next + 1 if begin + SIZE - 4 < PAYLOAD else 0
            self.pages.append(following.to_bytes(4) + record[begin : begin + SIZE - 4])
        return first

    def add_leaves(self, cell: bytes) -> Iterator[tuple[int, int]]:
        """Add the rows. Yield the last rowid of each page, and the number of the page."""
        for start in range(1, ROWS + 1, 9):
            rows = range(start, min(start + 9, ROWS + 1))
            yield rows[-1], self.next
            cells = [as_varint(PAYLOAD) + as_varint(row) + cell for row in rows]
            self.pages.append(page_of_cells(LEAF_TABLE, cells, SIZE))

    def add_interiors(self, below: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for start in range(0, len(below), 40):
            some = below[start : start + 40]
            yield some[-1][0], self.next
            children = [child.to_bytes(4) + as_varint(row) for row, child in some[:-1]]
            self.pages.append(page_of_cells(INNER_TABLE, children, SIZE, some[-1][1]))


def _add_rows(file: Path, *, is_damaged: bool) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {SIZE}")
        connection.execute(f"DELETE FROM {TABLE}")
        connection.execute("VACUUM")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (TABLE,)).fetchone()
    octets = bytearray(file.read_bytes())
    record, tree = _record(), _Tree(len(octets) // SIZE)
    level = [*tree.add_leaves(record[:39] + tree.add_text(record).to_bytes(4))]
    if is_damaged:
        tree.pages[-1] = bytes(SIZE)  # no page of a table
    while len(level) > 40:
        level = [*tree.add_interiors(level)]
    top = [*tree.add_interiors(level)]
    assert len(top) == 1
    octets[(root - 1) * SIZE : root * SIZE] = tree.pages.pop()
    octets += b"".join(tree.pages)
    octets[28:32] = (len(octets) // SIZE).to_bytes(4)
    file.write_bytes(octets)


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("is_indexed", [False, True])
def test_a_text_of_very_many_rows_is_not_read_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool, is_indexed: bool
) -> None:
    """A damaged page after the rows ends each statement. SQLite's own check leaves out a table with a foreign index."""
    file = tmp_path / "authsec.sqlite3"
    with closing(open_database(f"sqlite:///{file}")) as database:
        database.migrate()
        log = fill(database)
    if is_indexed:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"CREATE INDEX evil ON {TABLE} (created_at)")
    _add_rows(file, is_damaged=is_damaged)
    octets = 0
    is_utf_8 = text_check._is_utf_8

    def count(value: Any) -> bool:
        nonlocal octets
        octets += len(value or b"")
        return is_utf_8(value)

    monkeypatch.setattr(text_check, "_is_utf_8", count)
    reports: list[Report] = []
    # With a damaged page, even the end of the transaction may fail.
    with closing(open_database(f"sqlite:///{file}")) as database, suppress(Unavailable):
        database.check(lambda tx: reports.append(verify(tx, log.keys, [log.checkpoint], now=LATER)))
    (report,) = reports
    shared = f"The rows of the table {TABLE} share pages: they have more octets than the file."
    assert shared in report.findings
    assert report.findings[-1] == "The tables could not be read to the end."
    assert octets < TIMES * file.stat().st_size
