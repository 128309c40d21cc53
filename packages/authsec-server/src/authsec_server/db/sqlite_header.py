"""Read the header of a SQLite file without opening the database.

The format is in section 1.3 of https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVED: Final = 0x41757365  # the mark of a running server (`application_id`), see `sqlite_files`
_MAGIC: Final = b"SQLite format 3\x00"
_BYTES: Final = 100
_WAL_MODE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a SQLite file. `mark` is the file's `application_id`.

    `pages` is the size of the file in pages, and 0 for a missing or empty file.
    """

    in_wal_mode: bool = False
    mark: int = 0
    page_size: int = 0
    pages: int = 0


def read_header(path: Path) -> Header:
    """Read the header. Raises `OSError` for a file that exists but cannot be read."""
    try:
        with path.open("rb") as file:
            header, size = file.read(_BYTES), file.seek(0, 2)
    except FileNotFoundError:
        return Header()
    if len(header) < _BYTES or not header.startswith(_MAGIC):
        return Header(pages=1 if size else 0)
    page_size = 65536 if header[16:18] == b"\x00\x01" else int.from_bytes(header[16:18])
    return Header(
        in_wal_mode=header[18] == _WAL_MODE,
        mark=number(header, 68),
        page_size=page_size,
        pages=size // max(page_size, 1),
    )


def number(octets: bytes, place: int) -> int:
    """Read the four bytes at this position as a big-endian number, as in SQLite's file formats."""
    return int.from_bytes(octets[place : place + 4])
