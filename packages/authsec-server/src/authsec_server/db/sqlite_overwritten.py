"""Detect that another program overwrote a SQLite file while a server was using it.

The usual cause: somebody copies a backup over the file of a running server. The server's next transactions then change
pages of the copy, and the file becomes a mixture of both databases.

While a server uses a file, its header says that the file has a write-ahead log, and the change counter in the header
never decreases. A backup has no write-ahead log. A plain copy has an earlier counter if the file has changed its size
since the copy. A copy with the same counter is not detected.

SQLite overwrites the header when it moves pages of the write-ahead log into the file. So a server reads the header each
second, and before each commit, which can move pages.

A file that was overwritten gets a mark (`application_id`), so that no server and no command uses it later.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from authsec_server.db.sqlite_header import HEADER_BYTES, MARK_PLACE, OVERWRITTEN, Header, parse_header, read_header
from authsec_server.failures import StartupRefused

REASON: Final = "another program overwrote the file while a server was using it"
_FLAGS: Final = os.O_RDWR | getattr(os, "O_BINARY", 0)


def refuse_overwritten(path: Path) -> None:
    """Raise `StartupRefused` for a file that has the mark."""
    with suppress(OSError):  # SQLite says what cannot be read
        if read_header(path).mark == OVERWRITTEN:
            raise StartupRefused(
                f"{path} cannot be used: {REASON}. It may be a mixture of two databases.",
                "Move the data folder away, and restore a backup into an empty folder. See docs/backup.md.",
            )


class ServedFile:
    """A file that a server uses. Raises `OSError` if the file cannot be opened.

    Call `close` after the last connection of this process to the file, because it ends all locks of the process.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, _FLAGS)
        self._lock = threading.Lock()
        self._last = self._header()
        self._overwritten = False
        self._closed = False

    def is_overwritten(self) -> bool:
        """Whether the file was overwritten. The result stays true. Raises `OSError` if the file cannot be read."""
        with self._lock:
            if not self._overwritten and not self._closed:
                # Two looks, so that a header that SQLite is just writing is not misread.
                self._overwritten = self._differs() and self._differs()
            return self._overwritten

    def mark(self) -> None:
        """Write the mark into a file that was overwritten. Repeat the call: the copy may still be under way."""
        with self._lock:
            if not self._closed:  # else the descriptor may be that of another file
                self._mark()

    def close(self) -> None:
        """Close the file. If it was overwritten, write the mark again: SQLite's last pages may have removed it."""
        with self._lock:
            if self._overwritten:
                self._mark()
            self._closed = True
            os.close(self._descriptor)

    def _differs(self) -> bool:
        header = self._header()
        if not header.in_wal_mode or header.changes < self._last.changes:
            return True
        self._last = header
        return False

    def _header(self) -> Header:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        octets = os.read(self._descriptor, HEADER_BYTES)
        return parse_header(octets, os.fstat(self._descriptor).st_size)

    def _mark(self) -> None:
        with suppress(OSError):  # the disk is full; the server answers no request anyway
            os.lseek(self._descriptor, MARK_PLACE, os.SEEK_SET)
            os.write(self._descriptor, OVERWRITTEN.to_bytes(4))
            os.fsync(self._descriptor)
