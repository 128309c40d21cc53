"""Find the drop record that contains a place of the sealed log, for a walk from place to place. Pure.

The walk handles each record only where one of its runs begins, not at each leaf.
The attack: the holder of the key signs thousands of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from authsec_server.audit.sealing.dropped import Run


class Covering:
    """Runs of places, each with the index of its record. A walk queries the places in ascending order."""

    def __init__(self, runs: Sequence[tuple[Run, int]]) -> None:
        self._runs = sorted(runs, reverse=True)  # the next one is the last
        self._open: list[tuple[int, int]] = []  # heap of index and last place
        self._all, self._place = runs, -1

    def first_at(self, place: int) -> int | None:
        """Return the lowest index of a record with this place; None if no record has it."""
        if place < self._place:  # only a log that was tampered with goes back
            return min((index for (first, last), index in self._all if first <= place <= last), default=None)
        self._place = place
        while self._runs and self._runs[-1][0][0] <= place:
            (_, last), index = self._runs.pop()
            heappush(self._open, (index, last))
        while self._open and self._open[0][1] < place:
            heappop(self._open)
        return self._open[0][0] if self._open else None


def gaps(runs: Sequence[Run]) -> list[Run]:
    """Return the places before the last run that are in no run."""
    begins = [0, *(last + 1 for _, last in runs)]
    return [(begin, first - 1) for begin, (first, _) in zip(begins, runs, strict=False) if begin < first]
