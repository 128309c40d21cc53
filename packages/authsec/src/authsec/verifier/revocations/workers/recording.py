"""What the worker that follows hears, in the file: a line for its issuer, then one for each batch."""

from __future__ import annotations

import os
from typing import Final

from authsec.verifier.revocations.workers.place import Place, open_own

LARGEST: Final = 1024 * 1024  # bytes, after which a new file takes the place of the old one


class Displaced(Exception):
    """Somebody else has put another file in the place of ours."""


class Recording:
    """Written by whoever holds the lock. Readers are told of what is recorded while they read, not of all that was."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fd: int | None = None
        self._size = 0

    def add(self, octets: bytes) -> None:
        """Raises `OSError` or `Unusable` if it cannot be added, and `Displaced`."""
        fd = self._in_place()
        if fd is None or self._size > LARGEST:
            fd = self._begin()
        line = octets.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"  # JSON's strings hold neither
        try:
            _write(fd, line)
        except OSError:  # perhaps in the middle of the line
            self.end()
            raise
        self._size += len(line)

    def end(self) -> None:
        """Add no more."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    forget = end

    def _begin(self) -> int:
        """With a new file in the place of the old one. Raises `OSError` or `Unusable`."""
        self.end()
        self._check_old()
        coming = self._place.coming
        coming.unlink(missing_ok=True)  # of one who was killed while making it
        fd = open_own(coming, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        try:
            _write(fd, self._place.header)
            coming.rename(self._place.path)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._size = fd, len(self._place.header)
        return fd

    def _check_old(self) -> None:
        try:
            old = open_own(self._place.path, os.O_RDONLY)
        except FileNotFoundError:
            return  # there is none to be careful of
        try:
            self._place.check_header(old)  # what is not ours is not deleted
        finally:
            os.close(old)

    def _in_place(self) -> int | None:
        """The file, if it is where it was made; None if there is none."""
        if self._fd is None:
            return None
        try:
            there = os.stat(self._place.path, follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted: it is made anew
        if not os.path.samestat(os.fstat(self._fd), there):
            self.end()
            raise Displaced
        return self._fd


def _write(fd: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(fd, octets) :]
