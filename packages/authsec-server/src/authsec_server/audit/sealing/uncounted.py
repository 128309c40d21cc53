"""Events that came after the drop of their months. No roll-up counts them, so no check may. Pure.

A server whose clock is behind writes such an event.
Before a drop signs its record, every event of its months is counted and sealed.
So the record's checkpoint does not cover an event that came later.

The attack: the holder of the key signs a record over a small checkpoint, and deletes counts of later events.
But the checkpoint must be the last one before the record.
With checkpoints kept elsewhere, only events sealed in the last minutes before the record remain open to the attack.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from authsec_server.audit.sealing.dropped import DropRecord


class Uncounted:
    """Collects uncounted events. Pass each event; `records` are validly signed drop records in the log's order."""

    def __init__(self, records: Sequence[DropRecord]) -> None:
        self._smallest: list[DropRecord] = []  # each with a later cut than those behind it, and a larger checkpoint
        for record in sorted(records, key=lambda each: each.before, reverse=True):
            if not self._smallest or record.checkpoint.size < self._smallest[-1].checkpoint.size:
                self._smallest.append(record)
        self._smallest.reverse()
        self._cuts = [record.before for record in self._smallest]
        self._used: dict[str, tuple[DropRecord, int]] = {}  # how many events each record leaves out

    def may_be(self, at: str) -> bool:
        """Whether an event of that time (ISO 8601) is older than a cut."""
        return bool(self._cuts) and at < self._cuts[-1]

    def meet(self, at: str, place: int | None) -> bool:
        """Whether the event came after the drop of its month. `place` is its place in the log; None without a seal."""
        found = bisect_right(self._cuts, at)
        if found == len(self._cuts):
            return False
        record = self._smallest[found]
        if place is not None and place < record.checkpoint.size:
            return False
        self._used[record.signed] = (record, self._used.get(record.signed, (record, 0))[1] + 1)
        return True

    def findings(self, doubt: Callable[[DropRecord], str]) -> Iterator[str]:
        """Report records that leave out events and about which there is a `doubt`: such a record hides counts."""
        for record, number in self._used.values():
            if why := doubt(record):
                events = f"{number:,} event{'' if number == 1 else 's'}"
                yield f"The record of a drop before {record.before} leaves {events} out of the counts, and {why}"
