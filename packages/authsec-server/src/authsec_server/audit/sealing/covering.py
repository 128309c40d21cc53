"""Find the drop record that lists a place of the sealed log. Pure.

Callers must ask for places in ascending order.
The attack: the holder of the key signs thousands of drop records, so that a check takes hours.
So the search looks at a record only where one of its runs of places begins, not at each leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from authsec_server.audit.sealing.dropped import Run


class Covering:
    """Runs of places in the sealed log, each with the index of its record. Ask for places in ascending order."""

    def __init__(self, runs: Sequence[tuple[Run, int]]) -> None:
        self._runs = sorted(runs, reverse=True)  # descending: `pop` returns the next run
        self._open: list[tuple[int, int]] = []  # a heap of pairs: a record's index, and the last place of a run
        self._all, self._place = runs, -1

    def first_at(self, place: int) -> int | None:
        """Return the lowest index of a record that lists this place; None if no record lists the place."""
        if place < self._place:  # places descend only in a log that was tampered with
            return min((index for (first, last), index in self._all if first <= place <= last), default=None)
        self._place = place
        while self._runs and self._runs[-1][0][0] <= place:
            (_, last), index = self._runs.pop()
            heappush(self._open, (index, last))
        while self._open and self._open[0][1] < place:
            heappop(self._open)
        return self._open[0][0] if self._open else None


def gaps(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of places that lie before the last run and in none of these runs."""
    begins = [0, *(last + 1 for _, last in runs)]
    return [(begin, first - 1) for begin, (first, _) in zip(begins, runs, strict=False) if begin < first]
