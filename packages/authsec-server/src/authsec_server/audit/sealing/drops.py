"""The drop records of a log, and the rules that each record must satisfy.

A pass over the sealed log collects the facts about each record: which of its events are missing, and which
checkpoints cover the record and its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from authsec_server.audit.sealing.checkpoints import CLOCK_TOLERANCE, Checkpoint, shown_time
from authsec_server.audit.sealing.covering import Covering, gaps
from authsec_server.audit.sealing.dropped import DropRecord


@dataclass(slots=True, kw_only=True)
class Drop:
    """A drop record, and the facts about it that the pass over the log has found so far.

    - `missing` is the number of its events that are missing. The given exports contain `given` of the missing events.
      The export of an earlier drop may contain only some of them: then the others cannot be checked.
    - `sealed` is true if the record itself is sealed. `place` is its place in the sealed log.
    - `covered_at` is the time of the first checkpoint that covers all dropped events.
    - `sealed_at` is the time of the first checkpoint that covers the record.
    - `overtaken_at` is the time of a checkpoint that is larger than the one in the record, but does not cover the
    record.
    """

    record: DropRecord
    missing: int = 0
    given: int = 0
    sealed: bool = False
    covered_at: datetime | None = None
    place: int | None = None
    sealed_at: datetime | None = None
    overtaken_at: datetime | None = None

    def findings(self, now: datetime | None) -> Iterator[str]:
        """Report events that are missing although the rules for this drop record do not permit it.

        Without `now`, the date of the record is not compared with the current time.
        """
        record = self.record
        what = f"{self.missing:,} events between {record.numbers[0]} and {record.numbers[1]}"
        if self.missing and not self.sealed:
            yield f"{what} were dropped, but the record of the drop is not sealed."
        if 0 < self.missing < record.events:
            yield (
                f"{what} were dropped, but {record.events - self.missing:,} events that the record names are still "
                "there. To finish a drop that was interrupted: authsec audit drop"
            )
        if self.missing and (self.covered_at is None or self.covered_at >= record.cut):
            yield (
                f"{what} were dropped with the months before {record.before}, but sealed only after the drop of "
                "these months."
            )
        if self.missing and (limit := self._is_dated_after(now)):
            yield f"{what} were dropped, but the record is dated {shown_time(record.at)}, after {limit}."

    def _is_dated_after(self, now: datetime | None) -> str:
        """Describe the time that the record's date wrongly exceeds; empty if the date is valid.

        The attack: a record dated in the future drops a month that is not over.
        """
        at = self.record.at - CLOCK_TOLERANCE
        if now is not None and at > now:
            return f"this check at {shown_time(now)}"
        if self.sealed_at is not None and at > self.sealed_at:
            return f"the checkpoint that covers the record, signed at {shown_time(self.sealed_at)}"
        return ""


class Drops:
    """All drop records of a log, in order. Pass the checkpoints to `cover` in the order of size."""

    def __init__(self, records: Sequence[DropRecord]) -> None:
        self._all = [Drop(record=record) for record in records]
        self._by_signed = {each.record.signed: each for each in self._all}
        self._dropped_at = Covering([(run, at) for at, record in enumerate(records) for run in record.places])
        self._latest_cut = sorted(records, key=lambda record: record.before, reverse=True)
        self._left_at = Covering(  # the gaps between the runs that a record lists
            [(run, at) for at, record in enumerate(self._latest_cut) for run in gaps(record.places)]
        )
        # Each list is in descending order, because checkpoints ascend and `pop` returns the smallest item.
        self._uncovered = sorted(self._all, key=lambda each: each.record.last_place, reverse=True)
        self._not_overtaken = sorted(self._all, key=lambda each: each.record.checkpoint.size, reverse=True)
        self._sealed_uncovered: list[Drop] = []  # drops whose sealed record no checkpoint covers yet

    def at(self, place: int) -> Drop | None:
        """Return the first drop whose record lists this place in the sealed log; else None."""
        found = self._dropped_at.first_at(place)
        return None if found is None else self._all[found]

    def recorded_by(self, signed: str) -> Drop | None:
        """Return the drop with this signed record; else None."""
        return self._by_signed.get(signed)

    def leaving_out(self, place: int) -> DropRecord | None:
        """Return the drop record with the latest cut that omits this place but lists a later one; else None."""
        found = self._left_at.first_at(place)
        return None if found is None else self._latest_cut[found]

    def seal(self, drop: Drop, place: int) -> None:
        """Note that the record of this drop is sealed at this place."""
        drop.sealed = True
        if drop.place is None:
            drop.place = place
            self._sealed_uncovered.append(drop)

    def cover(self, checkpoint: Checkpoint) -> None:
        """Note which records and dropped events this checkpoint covers."""
        while self._uncovered and self._uncovered[-1].record.last_place < checkpoint.size:
            self._uncovered.pop().covered_at = checkpoint.at
        while self._not_overtaken and self._not_overtaken[-1].record.checkpoint.size < checkpoint.size:
            behind = self._not_overtaken.pop()
            if behind.place is None or behind.place >= checkpoint.size:
                behind.overtaken_at = checkpoint.at
        for drop in self._sealed_uncovered:
            if drop.place is not None and drop.place < checkpoint.size:
                drop.sealed_at = checkpoint.at
        self._sealed_uncovered = [each for each in self._sealed_uncovered if each.sealed_at is None]

    def findings(self, now: datetime | None) -> Iterator[str]:
        """Report each violation of the rules in a sentence; see `Drop.findings`."""
        for drop in self._all:
            yield from drop.findings(now)

    @property
    def with_missing_events(self) -> tuple[Drop, ...]:
        """Return the drops with missing events."""
        return tuple(each for each in self._all if each.missing)

    def newest(self) -> DropRecord | None:
        """Return the drop record with the latest cut, among the sealed records that have missing events; else None.

        If several records have this cut, the first one is returned.
        The attack: the holder of the key signs false counts in a record that drops nothing.
        """
        sealed = (each.record for each in self._all if each.sealed and each.missing)
        return max(sealed, key=lambda record: record.before, default=None)

    def doubt(self, record: DropRecord) -> str:
        """Return why this drop record may not exclude events from the counts; empty if it may exclude them.

        The text is a part of a sentence.
        Events of its months that its checkpoint does not cover were recorded after the drop. The record excludes these.
        """
        drop = self._by_signed.get(record.signed)  # None if another event has the number of the record's event
        if drop is None or not (drop.sealed and drop.missing):
            return "dropped nothing. To finish a drop that was interrupted: authsec audit drop"
        if drop.overtaken_at and drop.sealed_at and drop.sealed_at - drop.overtaken_at > CLOCK_TOLERANCE:
            return (
                "its checkpoint was not the last one: another checkpoint was signed at "
                f"{shown_time(drop.overtaken_at)}, and the first checkpoint that covers the record at "
                f"{shown_time(drop.sealed_at)}."
            )
        return ""

    def last_place(self) -> int | None:
        """Return the highest place in the sealed log of a dropped event; None if no event is missing."""
        return max((each.record.last_place for each in self._all if each.missing), default=None)

    def last_number(self) -> int:
        """Return the highest number of a dropped event; 0 if no event is missing."""
        return max((each.record.numbers[1] for each in self._all if each.missing), default=0)

    def unknown_before(self) -> datetime | None:
        """Return the time before which some dropped events are in no given export; None if the exports have all events.

        The counts before this time cannot be computed again.
        """
        unknown = (each.record.cut for each in self._all if each.missing > each.given)
        return max(unknown, default=None)
