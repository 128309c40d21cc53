"""Events that were recorded after the drop of their months. Pure.

The roll-up does not count these events, so the check of the counts must not count them either.
A server whose clock is behind writes such an event.
Before a drop record is signed, every event of the dropped months is counted and sealed.
So an event that came later is not covered by the checkpoint in the record.

The attack: the holder of the key signs a record with a small checkpoint, and deletes counts of later events.
The defence: the checkpoint in a record must be the last one before the record.
With checkpoints kept elsewhere, the attack works only on events sealed in the last minutes before the record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from authsec_server.audit.sealing.dropped import DropRecord


class Uncounted:
    """Collects events that were recorded after the drop of their months. Pass each event to `add`.

    `records` are the drop records with a valid signature, in the order of the log.
    """

    def __init__(self, records: Sequence[DropRecord]) -> None:
        self._smallest: list[DropRecord] = []  # cuts and checkpoint sizes both ascend
        for record in sorted(records, key=lambda each: each.before, reverse=True):
            if not self._smallest or record.checkpoint.size < self._smallest[-1].checkpoint.size:
                self._smallest.append(record)
        self._smallest.reverse()
        self._cuts = [record.before for record in self._smallest]
        self._used: dict[str, tuple[DropRecord, int]] = {}  # each record with the number of events that it leaves out

    def may_be(self, at: str) -> bool:
        """Whether the time `at` (ISO 8601) is in a month of a drop. For other times, `add` is false."""
        return bool(self._cuts) and at < self._cuts[-1]

    def add(self, at: str, place: int | None) -> bool:
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
        """Report each drop record that excluded events from the counts without being allowed to do so.

        `doubt` returns the reason why a record may not exclude events. Such a record hides counts.
        """
        for record, number in self._used.values():
            if why := doubt(record):
                events = f"{number:,} event{'' if number == 1 else 's'}"
                yield f"The record of a drop before {record.before} leaves {events} out of the counts, but {why}"
