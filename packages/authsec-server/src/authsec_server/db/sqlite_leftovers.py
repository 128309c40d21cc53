"""Detect a `-wal` or `-journal` file that belongs to another database than the SQLite file beside it.

SQLite applies such a file without a warning: SQLite checks only the checksums of the `-wal` or `-journal` file. For
example, a restored backup beside the `-wal` file of the newer database becomes a mixture of both databases.
So this module compares the files before SQLite opens them. The module writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from authsec_server.db.sqlite_header import SERVED, number, open_regular, read_header, refuse_irregular
from authsec_server.db.sqlite_integrity import quick_check
from authsec_server.db.sqlite_reading import is_late
from authsec_server.failures import StartupRefused

# https://sqlite.org/fileformat2.html, sections 3 (rollback journal) and 4 (write-ahead log)
_WAL_MAGIC: Final = frozenset({0x377F0682, 0x377F0683})
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_LOCK_BYTE: Final = 1 << 30  # the page with this byte is never written
_NOT_COUNTED: Final = 0xFFFFFFFF  # instead of the number of records in a journal
_OF_PAGES: Final = "*** in database main ***"  # the beginning of SQLite's findings about pages, not about rows
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def refuse_leftovers(path: Path) -> None:
    """Raise `StartupRefused` when a file beside the database belongs to another or a newer database.

    Also raise `StartupRefused` when SQLite's check of both files does not end, or when one of SQLite's files is no
    regular file.
    """
    wal, journal = Path(f"{path}-wal"), Path(f"{path}-journal")
    for each in (path, Path(f"{path}-shm")):
        refuse_irregular(each)
    try:
        if why := _foreign_wal(path, wal):
            raise _refusal(path, wal, why)
        if why := _foreign_journal(path, journal):
            raise _refusal(path, journal, why)
    except OSError:
        return  # SQLite says what cannot be read
    except sqlite3.OperationalError as error:
        if not is_late(error):
            raise
        raise StartupRefused(
            f"SQLite's check of {path} together with {wal} did not end.",
            "Restore a backup into an empty folder. See docs/backup.md.",
        ) from error


def _refusal(path: Path, leftover: Path, why: str) -> StartupRefused:
    files = [leftover, *(each for each in [Path(f"{path}-shm")] if each.exists())]
    return StartupRefused(
        f"{leftover} does not belong to {path.name}: {why}. SQLite would mix two databases.",
        "If you restored a backup, move the old files into another folder and start again:"
        f" mv {' '.join(map(str, files))} FOLDER. See docs/backup.md.",
    )


def _foreign_wal(path: Path, wal: Path) -> str:
    """Return why the log does not belong to this file, or an empty text.

    The log is read before the database file, because a server may meanwhile move the log's pages into the file.
    """
    try:
        with open_regular(wal) as file:
            page_size, pages, size = _committed(file)
    except FileNotFoundError:
        return ""
    if not size:
        return ""  # SQLite ignores a log without a commit
    main = read_header(path)
    if not main.pages:
        return "the database file is missing or empty"
    if not main.in_wal_mode:
        # No crash leaves this pair of files.
        return "the database file is a backup or was closed, and such a database file has no leftover file"
    if main.page_size != page_size:
        return "the pages of the two files have different sizes"
    never = _LOCK_BYTE // page_size + 1
    if any(page not in pages and page != never for page in range(main.pages + 1, size + 1)):
        return "the database file lacks pages that the log needs"
    return "" if main.mark == SERVED else _mixture(path)


def _committed(wal: BinaryIO) -> tuple[int, set[int], int]:
    """Return the log's page size, the pages in the log, and the database size in pages after the last commit.

    The size is 0 for a log without a commit.
    """
    header = wal.read(_WAL_HEADER)
    if len(header) < _WAL_HEADER or number(header, 0) not in _WAL_MAGIC:
        return 0, set(), 0
    page_size, pages, size = number(header, 8), set[int](), 0
    for frame in _frames(wal, page_size, salts=header[16:24]):
        pages.add(number(frame, 0))
        size = number(frame, 4) or size
    return page_size, pages, size


def _frames(wal: BinaryIO, page_size: int, *, salts: bytes) -> Iterator[bytes]:
    """Yield the header of each frame, and stop at the first frame from an earlier round of the log."""
    place = _WAL_HEADER
    while True:
        wal.seek(place)
        frame = wal.read(_FRAME_HEADER)
        if len(frame) < _FRAME_HEADER or frame[8:16] != salts:
            return
        yield frame
        place += _FRAME_HEADER + page_size


def _mixture(path: Path) -> str:
    """Return the damage that the file has only together with its log, or an empty text. Slow for a large file.

    Damage of the file alone, and an index that lacks rows, are reported by the program that opens the file.
    """
    together = _damage(path, "mode=ro")
    return f"together they are damaged ({together})" if together and not _damage(path, "immutable=1") else ""


def _damage(path: Path, how: str) -> str:
    """Return the damage that SQLite finds, or an empty text. `immutable=1` reads the file without its log.

    Raises `sqlite3.OperationalError` if the check does not end (`is_late`).
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
            found = quick_check(connection, 100)
    except sqlite3.Error as error:
        if is_late(error):
            raise
        # Another error is a lock or a read-only folder. The program that opens the file reports it.
        return str(error) if (error.sqlite_errorcode & 0xFF) in _DAMAGED else ""
    of_pages = (each for each in found if each.startswith(_OF_PAGES))
    return " ".join(next(of_pages, "").removeprefix(_OF_PAGES).split())


def _foreign_journal(path: Path, journal: Path) -> str:
    """Return why the rollback journal does not belong to this file, or an empty text.

    The server uses a rollback journal only to start or end the write-ahead log. Such a journal has only the first
    page of the database, or no page.
    """
    try:
        with open_regular(journal) as file:
            header = file.read(28)
            file.seek(number(header, 20) if len(header) == 28 else 0)
            first = file.read(4)
    except FileNotFoundError:
        return ""
    if not header.startswith(_JOURNAL_MAGIC) or len(header) < 28:
        return ""  # SQLite ignores it
    main = read_header(path)
    records, before = number(header, 8), number(header, 16)
    if before != main.pages and not (before == 0 and main.pages == 1):
        return "the leftover file belongs to a database file of another size"
    if records not in {0, 1, _NOT_COUNTED} or (records and first and number(first, 0) != 1):
        return "the leftover file would overwrite more than the first page, and no server leaves such a file"
    return ""
