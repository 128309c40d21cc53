"""What another worker records, as it is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from authsec.verifier.revocations.batches import MOST_BYTES
from authsec.verifier.revocations.workers.place import Place, open_own

_PIECE: Final = 1024 * 1024


class Reading:
    """Goes from file to file as one takes the place of the other."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fd: int | None = None
        self._at = 0
        self._rest = b""

    def begin(self) -> None:
        """After what is recorded already: it is too old to be believed."""
        self.end()
        self._open()
        if self._fd is not None:
            self._at = os.fstat(self._fd).st_size

    def lines(self) -> Iterator[bytes]:
        """Those that have been added. Raises `OSError` or `Unusable`."""
        if self._fd is not None:
            replaced = self._replaced(self._fd)  # asked first: nothing is added to a file any more that was replaced
            yield from self._added()
            if not replaced:
                return
            self.end()
        self._open()
        yield from self._added()

    def end(self) -> None:
        """Read no more."""
        fd, self._fd = self._fd, None
        self._at, self._rest = 0, b""
        if fd is not None:
            os.close(fd)

    forget = end

    def _open(self) -> None:
        try:
            fd = open_own(self._place.path, os.O_RDONLY)
        except FileNotFoundError:
            return  # nobody records yet
        try:
            self._place.check_header(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._at = fd, len(self._place.header)

    def _replaced(self, fd: int) -> bool:
        try:
            there = os.stat(self._place.path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return not os.path.samestat(os.fstat(fd), there)

    def _added(self) -> Iterator[bytes]:
        while self._fd is not None and (piece := os.pread(self._fd, _PIECE, self._at)):
            self._at += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            yield from lines
            if len(self._rest) > MOST_BYTES:  # no batch is so long: it is passed on to be refused
                yield self._rest
                self._rest = b""
