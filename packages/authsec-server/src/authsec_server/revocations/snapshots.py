"""The snapshot of the feed: read and written once for all who ask, until something else ends.

It takes long where much has ended, and anybody gets one by saying to be where nobody is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from authsec_server.db import Tx
from authsec_server.revocations import service
from authsec_server.revocations.model import Revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Entries as they go out, and the digest by which a head covers them."""

    text: str = field(repr=False)
    sha256: str


class Snapshots:
    """The last one; `write` says how entries are written. For many threads."""

    def __init__(self, write: Callable[[Sequence[Revocation]], Written]) -> None:
        self._write = write
        self._lock = threading.Lock()  # held while one is made: the others wait for it instead of making their own
        self._of: tuple[int, Revocation | None] | None = None
        self._entries: tuple[Revocation, ...] = ()
        self._written = write(())

    def entries(self, tx: Tx) -> tuple[Revocation, ...]:
        """The newest entry of each subject."""
        extent = service.extent(tx)
        with self._lock:
            if self._of != extent:
                entries = service.snapshot(tx)
                self._of, self._entries, self._written = extent, entries, self._write(entries)
            return self._entries

    def written(self, entries: tuple[Revocation, ...]) -> Written:
        """These entries, of a snapshot or of any page, as they go out."""
        with self._lock:
            if entries is self._entries:
                return self._written
        return self._write(entries)
