"""Read the header of a SQLite file without opening the database.

The format is in section 1.3 of https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from authsec_server.failures import StartupRefused

SERVED: Final = 0x41757365  # the mark of a running server (`application_id`), see `sqlite_files`
OVERWRITTEN: Final = 0x4175786F  # the mark of a file that was overwritten, see `sqlite_overwritten`
MARK_PLACE: Final = 68  # where the header has the mark
HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_WAL_MODE: Final = 2
# Windows has no pipes in folders. There, a file is text unless `O_BINARY` is set.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a SQLite file. `mark` is the file's `application_id`, `changes` its change counter.

    `pages` is the size of the file in pages, and 0 for a missing or empty file.
    """

    in_wal_mode: bool = False
    mark: int = 0
    changes: int = 0
    page_size: int = 0
    pages: int = 0


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it. Raises `OSError`, and `StartupRefused` for anything else at the path.

    The attack: somebody puts a named pipe there, and opening a pipe waits for a writer. The kind of file is checked
    first, because opening a device can have effects. It is checked again afterwards, because somebody can replace the
    file meanwhile.
    """
    refuse_irregular(path)
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return os.fdopen(descriptor, "rb")


def refuse_irregular(path: Path) -> None:
    """Raise `StartupRefused` for anything but a regular file. A missing file is allowed.

    The function does not open the file, because closing it would end the locks that SQLite has on it in this process.
    """
    with suppress(OSError):  # SQLite says what cannot be read
        if not stat.S_ISREG(path.stat().st_mode):
            raise _not_regular(path)


def _not_regular(path: Path) -> StartupRefused:
    return StartupRefused(f"{path} is not a regular file.", "Find who put it there, and move it into another folder.")


def read_header(path: Path) -> Header:
    """Read the header. Raises `OSError` for a file that exists but cannot be read.

    Raises `StartupRefused` for anything but a regular file.
    """
    try:
        with open_regular(path) as file:
            return parse_header(file.read(HEADER_BYTES), file.seek(0, 2))
    except FileNotFoundError:
        return Header()


def parse_header(header: bytes, size: int) -> Header:
    """Parse the first 100 bytes of a file with `size` bytes."""
    if len(header) < HEADER_BYTES or not header.startswith(_MAGIC):
        return Header(pages=1 if size else 0)
    page_size = 65536 if header[16:18] == b"\x00\x01" else int.from_bytes(header[16:18])
    return Header(
        in_wal_mode=header[18] == _WAL_MODE,
        mark=number(header, MARK_PLACE),
        changes=number(header, 24),
        page_size=page_size,
        pages=size // max(page_size, 1),
    )


def number(octets: bytes, place: int) -> int:
    """Read the four bytes at this position as a big-endian number, as in SQLite's file formats."""
    return int.from_bytes(octets[place : place + 4])
