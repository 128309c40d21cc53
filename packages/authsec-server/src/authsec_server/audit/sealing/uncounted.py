"""Events that came after the drop of their months: no roll-up counts them, so no check may count them. Pure.

A server whose clock is behind writes such an event. Before a drop signs its record, every event of its months is
counted and sealed. So an event that came later is not among those that the record's head covers.

The attack: the holder of the key signs a record over a small head, and deletes counts of events behind that. But the
head must be the last one before the record. So heads that were kept elsewhere leave the attacker only events that were
sealed in the last minutes before the record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from authsec_server.audit.sealing.dropped import DropRecord


class Uncounted:
    """Told each event; `records` are those that a key signed, in the order of the log."""

    def __init__(self, records: Sequence[DropRecord]) -> None:
        self._smallest: list[DropRecord] = []  # each with a later cut than those behind it, and a larger head
        for record in sorted(records, key=lambda each: each.before, reverse=True):
            if not self._smallest or record.head.size < self._smallest[-1].head.size:
                self._smallest.append(record)
        self._smallest.reverse()
        self._cuts = [record.before for record in self._smallest]
        self._used: dict[str, tuple[DropRecord, int]] = {}  # how many events each record leaves out

    def may_be(self, at: str) -> bool:
        """Whether an event of that time (ISO 8601) is older than a cut."""
        return bool(self._cuts) and at < self._cuts[-1]

    def meet(self, at: str, place: int | None) -> bool:
        """Whether the event is one of these; `place` is that in the log, None without a seal."""
        found = bisect_right(self._cuts, at)
        if found == len(self._cuts):
            return False
        record = self._smallest[found]
        if place is not None and place < record.head.size:
            return False
        self._used[record.signed] = (record, self._used.get(record.signed, (record, 0))[1] + 1)
        return True

    def findings(self, doubt: Callable[[DropRecord], str]) -> Iterator[str]:
        """In sentences, where there is a `doubt` about a record that leaves out events: else it hides counts."""
        for record, number in self._used.values():
            if why := doubt(record):
                events = f"{number:,} event{'' if number == 1 else 's'}"
                yield f"The record of a drop before {record.before} leaves {events} out of the counts, and {why}"
