"""A PostgreSQL that does not answer: one caller at a time asks it, and the others are refused at once.

Otherwise each request would occupy a thread until its own deadline, and nothing else would get one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from authsec_server.failures import Fault, Unavailable


class Silence:
    """Whether PostgreSQL is silent. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._heard_at = float("-inf")
        self._silent = False
        self._asking = threading.Lock()

    @contextmanager
    def asking(self) -> Iterator[float]:
        """Ask PostgreSQL: when this began. Raises `Unavailable` while it is silent and another caller asks."""
        if not self._silent:
            yield monotonic()
            return
        if not self._asking.acquire(blocking=False):
            raise unanswered()
        try:
            yield monotonic()
        finally:
            self._asking.release()

    def is_silent(self) -> bool:
        """Whether calls got no answer, and none got one since."""
        return self._silent

    def heard(self) -> None:
        """PostgreSQL has answered."""
        self._heard_at = monotonic()
        self._silent = False

    def suspect(self, since: float) -> None:
        """A call that began at `since` got no answer: PostgreSQL is silent, unless another call got one meanwhile."""
        if self._heard_at < since:
            self._silent = True


def unanswered() -> Unavailable:
    """The failure that callers get."""
    return Unavailable("The database does not answer.", fault=Fault.SILENT)
