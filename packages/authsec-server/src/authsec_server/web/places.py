"""So many at once and no more: who takes their time must not take the places that agents need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from authsec_server.failures import Unavailable


class Places:
    """Places for `at_once` in all, and `of_one` network or person; no line before them. For one event loop."""

    def __init__(self, *, at_once: int, of_one: int) -> None:
        self._at_once = at_once
        self._of_one = of_one
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, whose: str) -> Iterator[None]:
        """Hold a place. Raises `Unavailable` when all are taken."""
        if self._taken.total() >= self._at_once or self._taken[whose] >= self._of_one:
            raise Unavailable("Too many do this at this moment.")
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken -= Counter({whose: 1})  # which also forgets who holds none
