"""Read and write the pages of an SQLite file as octets, as an attacker with write access to the file can.

The form is that of https://www.sqlite.org/fileformat.html, sections 1.6 and 2.1. No payload here is longer than a page.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

INNER_INDEX, INNER_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
_INNER = {INNER_INDEX, INNER_TABLE}
_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # octets of the serial types of numbers and NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a page. Which members it has depends on the kind of the page."""

    child: int = 0
    rowid: int = 0
    record: bytes = b""
    size: bytes = b""  # the varint of the record's length, if it has another form than SQLite writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a B-tree, with its cells in order."""

    kind: int
    cells: Sequence[Cell]
    right: int = 0  # the last child of an inner page


class SQLitePages:
    """The pages of a file that no process has open. Each change is written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._size = int(connection.execute("PRAGMA page_size").fetchone()[0])
            self._roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
        assert path.read_bytes()[20] == 0, "no octets are reserved at the end of a page"

    def root(self, name: str) -> int:
        """The number of the root page of a table or an index."""
        return int(self._roots[name])

    def leaves(self, name: str) -> Iterator[int]:
        """The numbers of its leaf pages, in order."""
        yield from self._leaves(self.root(name))

    def _leaves(self, number: int) -> Iterator[int]:
        page = self.read(number)
        if page.kind not in _INNER:
            yield number
            return
        for child in (*(each.child for each in page.cells), page.right):
            yield from self._leaves(child)

    def read(self, number: int) -> Page:
        """Parse the page."""
        start = (number - 1) * self._size
        octets = self._path.read_bytes()[start : start + self._size]
        kind = octets[0]
        header = 12 if kind in _INNER else 8
        places = (header + 2 * each for each in range(int.from_bytes(octets[3:5])))
        cells = [_cell(kind, octets, int.from_bytes(octets[place : place + 2])) for place in places]
        return Page(kind=kind, cells=cells, right=int.from_bytes(octets[8:12]) if kind in _INNER else 0)

    def write(self, number: int, page: Page) -> None:
        """Write the page with its cells, without free room between them. Raises `ValueError` if they do not fit."""
        octets, end = bytearray(self._size), self._size
        header = 12 if page.kind in _INNER else 8
        for place, cell in enumerate(page.cells):
            written = _octets(page.kind, cell).ljust(4, b"\0")
            end -= len(written)
            octets[end : end + len(written)] = written
            octets[header + 2 * place : header + 2 * place + 2] = end.to_bytes(2)
        if end < header + 2 * len(page.cells):
            raise ValueError("These cells need more than one page.")
        octets[0], octets[3:5], octets[5:7] = page.kind, len(page.cells).to_bytes(2), end.to_bytes(2)
        if page.kind in _INNER:
            octets[8:12] = page.right.to_bytes(4)
        with self._path.open("r+b") as file:
            file.seek((number - 1) * self._size)
            file.write(octets)

    def replace(self, number: int, place: int, cell: Cell) -> None:
        """Write the page with another cell in this place."""
        page = self.read(number)
        self.write(number, replace(page, cells=[*page.cells[:place], cell, *page.cells[place + 1 :]]))


def fields(record: bytes) -> list[tuple[int, bytes]]:
    """The serial type and the octets of each field of the record."""
    header, at = _varint(record, 0)
    types = []
    while at < header:
        kind, length = _varint(record, at)
        types.append(kind)
        at += length
    found = []
    for kind in types:
        length = _SIZES[kind] if kind < 10 else (kind - 12) // 2
        found.append((kind, record[at : at + length]))
        at += length
    return found


def integer(field: tuple[int, bytes]) -> int:
    """The value of a field that is an integer."""
    kind, octets = field
    return kind - 8 if kind in {8, 9} else int.from_bytes(octets, signed=True)


def _cell(kind: int, octets: bytes, at: int) -> Cell:
    child = rowid = 0
    if kind in _INNER:
        child, at = int.from_bytes(octets[at : at + 4]), at + 4
    if kind == INNER_TABLE:
        return Cell(child=child, rowid=_varint(octets, at)[0])
    size, length = _varint(octets, at)
    at += length
    if kind == LEAF_TABLE:
        rowid, length = _varint(octets, at)
        at += length
    return Cell(child=child, rowid=rowid, record=octets[at : at + size])


def _octets(kind: int, cell: Cell) -> bytes:
    child = cell.child.to_bytes(4) if kind in _INNER else b""
    if kind == INNER_TABLE:
        return child + as_varint(cell.rowid)
    rowid = as_varint(cell.rowid) if kind == LEAF_TABLE else b""
    return child + (cell.size or as_varint(len(cell.record))) + rowid + cell.record


def _varint(octets: bytes, at: int) -> tuple[int, int]:
    """The value, and how many octets it has."""
    value = 0
    for length in range(1, 9):
        octet = octets[at + length - 1]
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            return value, length
    return value << 8 | octets[at + 8], 9


def as_varint(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(value & 0x7F | 0x80)
    return bytes(reversed(octets))


def page_of_cells(kind: int, cells: Sequence[bytes], size: int, last: int = 0) -> bytes:
    """Build a page of a table from the octets of its cells. `last` is the last child of an inner page."""
    places, first = b"", size
    for cell in cells:
        first -= len(cell)
        places += first.to_bytes(2)
    header = bytes([kind, 0, 0]) + len(cells).to_bytes(2) + first.to_bytes(2) + b"\0"
    page = header + (last.to_bytes(4) if kind == INNER_TABLE else b"") + places
    return page + bytes(first - len(page)) + b"".join(reversed(cells))
