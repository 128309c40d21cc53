"""A pass over the leaves of a sealed log, from checkpoint to checkpoint.

The leaves may come from a database or from an export.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing.checkpoints import Checkpoint, CheckpointRefused, by_size, read_checkpoint, when
from authsec_server.audit.sealing.dropped import DropRecord
from authsec_server.audit.sealing.drops import Drop, Drops
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.late_seals import LateSeals
from authsec_server.audit.sealing.restores import Restore, declares_lost
from authsec_server.audit.sealing.succession import Succession
from authsec_server.failures import Conflict

MOST = 100  # findings that are listed; further ones are only counted


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRestore:
    """A signed restore record. `checkpoint_at` is the time of the last checkpoint in the backup, if there is one."""

    record: Restore
    checkpoint_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a check.

    - `findings` are sentences. `not_yet` is the number of new events without a seal.
    - `waiting_since` is the time of the oldest event without a seal, if it has waited too long; else None.
    - `dropped` are the drop records with missing events.
    - `unchecked` are sentences about parts that could not be checked.
    - `skipped` are the unchecked parts without which the log cannot be called intact.
    - `restores` are the recorded restores from a backup, oldest first.
    - `late` are events that were sealed long after their time, grouped by checkpoint.
    - `more_late` is the number of further late events in earlier groups.
    - `unproved` are sentences about facts that only old events without a seal report.
      A running server would have sealed these events.
    """

    sealed: int
    not_yet: int
    last: Checkpoint | None
    findings: tuple[str, ...]
    more: int
    dropped: tuple[Drop, ...] = ()
    unchecked: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    restores: tuple[RecordedRestore, ...] = ()
    late: tuple[LateSeals, ...] = ()
    more_late: int = 0
    waiting_since: datetime | None = None
    unproved: tuple[str, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)  # the digest of each table, computed from its rows
    has_checkpoints: bool = True  # by any key
    is_checked: bool = True  # false for the schema of another AuthSec: `skipped` has the reason

    def require_checked(self) -> None:
        """Raise `Conflict` if nothing was checked, because the schema is another AuthSec's."""
        if not self.is_checked:
            raise Conflict("The audit log cannot be verified, so nothing was done.", self.skipped[0])

    @property
    def not_checkable(self) -> int:
        """Return the number of dropped events that cannot be checked, because no given export contains them."""
        return sum(each.missing - each.given for each in self.dropped)

    @property
    def as_sealed(self) -> bool:
        """Whether the log matches its seals: there are no findings and at least one checkpoint."""
        return not self.findings and self.last is not None


def _ignore(_: int, __: Mapping[str, Any]) -> None:
    """Do nothing with the dropped event, for a check that compares no tables."""


@dataclass(slots=True, kw_only=True)
class LogCheck:
    """One pass over the leaves of a sealed log. The caller passes the leaves and checkpoints in order.

    - `kept` are checkpoints that were kept elsewhere.
    - `given` are exports with dropped events.
    - `records` are all drop records of the log, in order. A record is valid from its sealed event on.
    - `restores` are restore records with a valid signature.
    - `drops` are the facts about the drop records that the pass has found so far.
    - Without `now`, the date of a drop record is not compared with the current time.
    """

    keys: Succession
    kept: Sequence[Checkpoint]
    records: Sequence[DropRecord] = ()
    given: Sequence[KeptExport] = ()
    restores: Sequence[Restore] = ()
    now: datetime | None = None
    held: Callable[[int, Mapping[str, Any]], None] = _ignore  # is called with each dropped event of an export
    tree: Tree = field(default_factory=Tree)
    last: Checkpoint | None = None  # the last valid checkpoint that `read` returned
    broken: bool = False  # a leaf is missing or a checkpoint differs: later checkpoints cannot match either
    findings: list[str] = field(default_factory=list)
    more: int = 0
    _good: Checkpoint | None = None  # the newest checkpoint that matches the leaves
    _newest: Checkpoint | None = None  # the largest checkpoint that was compared
    _settled: int = 0  # the compared checkpoints cover every event up to this number
    _since: list[int] = field(default_factory=list)  # the first and the last event number after `_good`
    _has_checkpoints: bool = False
    _refused: bool = False  # whether a checkpoint was refused
    _advised: set[str] = field(default_factory=set)  # names of exports that already have advice
    drops: Drops = field(init=False)
    _restored_to: dict[int, datetime] = field(default_factory=dict)  # when each backup's last checkpoint was signed

    def __post_init__(self) -> None:
        checkpoints = [
            *self.kept,
            *(record.checkpoint for record in self.records),
        ]  # a checkpoint in a signed record must match the log as well
        self.kept = sorted(checkpoints, key=by_size)
        self.drops = Drops(self.records)

    def add_finding(self, finding: str) -> None:
        """Add a finding to the report. After `MOST` findings, only count further ones."""
        if len(self.findings) < MOST:
            self.findings.append(finding)
        else:
            self.more += 1

    def report_missing_leaf(self, place: int) -> None:
        """Report that the leaf at this place is missing."""
        if not self.broken:
            self.add_finding(f"The seal at position {place} is missing: the seal was dropped or moved.")
        self.broken = True

    def report_missing_event(self, place: int, number: int, hash_: bytes) -> None:
        """Report the missing event of a leaf, except if a drop record lists the place.

        A dropped event is compared with the given exports, and differences are reported.
        """
        drop = self.drops.at(place)
        if drop is None:
            self.add_finding(f"Event {number} was dropped: only its seal is left.")
            return
        drop.missing += 1
        held = [(file, found) for file in self.given if (found := file.event_at(place))]
        if event := next((found.event for _, found in held if found.leaf == hash_), None):
            drop.given += 1
            self.held(place, event)
        for file, found in held:
            if found.leaf == hash_ and found.number != number:
                # The attack: raw SQL exchanges the numbers of two seals of dropped events.
                self.add_finding(
                    f"The seal at position {place} was changed: the seal has the number {number}, but "
                    f"{file.name} has event {found.number} there."
                )
            elif found.leaf == hash_ and not found.is_droppable:
                # The attack: raw SQL changes the event's kind for the moment in which an honest drop lists events.
                self.add_finding(
                    f"Event {number} was dropped, although no drop removes an event of the kind {found.event['kind']}."
                )
            elif found.leaf == hash_ and found.at >= drop.record.before:
                self.add_finding(
                    f"Event {number} is from {found.at[:10]}, but was dropped with the months before that date."
                )
            elif found.leaf != hash_ and not self._is_lost(file, place):
                self.add_finding(f"Event {number} in {file.name} differs from its seal.{self._advice(file, place)}")

    def _is_lost(self, file: KeptExport, place: int) -> bool:
        """Whether the export is older than a restore, and its event at this place was lost by the restore."""
        since = [each for each in self.restores if place >= each.size]
        return any(declares_lost(each, file.last_checkpoint, self.keys.keys) for each in since)

    def _advice(self, file: KeptExport, place: int) -> str:
        """Return advice on an export that may contain events which a restore lost; else an empty text.

        The advice is given once for each export. It is needed if the clock of a server was ahead, because the export's
        last checkpoint is then dated after the restore record.
        """
        if file.name in self._advised or all(place < each.size for each in self.restores):
            return ""
        self._advised.add(file.name)
        return (
            " Perhaps the restore lost this event, and the clock of a server was ahead. When you record a restore, "
            "pass the last checkpoint of each export: authsec admin restored --checkpoint FILE. See docs/backup.md."
        )

    def check_order(self, number: int) -> None:
        """Report the event if it was sealed after a checkpoint that already covers all events up to its number.

        An event number below 1 is reported as well.
        The attack: a person with a stolen key seals such an event. In lists by number, the event comes before events
        that an earlier checkpoint covers.
        """
        if number < 1:
            self.add_finding(f"Event {number} was inserted: numbers begin at 1.")
        elif number <= self._settled:
            self.add_finding(
                f"Event {number} was inserted: the event was sealed after a checkpoint that already covered all "
                f"events up to {self._settled}."
            )

    def confirm_event(self, place: int, signed: str | None) -> None:
        """Note that the event at this place matches its seal.

        `signed` is the drop record in the event, if any. The record is valid from this place on.
        """
        drop = self.drops.recorded_by(signed or "")
        if drop and place < self.keys.end(drop.record.kid):
            self.drops.seal(drop, place)

    def check_kept_event(self, place: int, number: int, at: str) -> None:
        """Report an event that still exists although a drop should have removed it. `at` is its time (ISO 8601).

        A drop must remove all events older than its cut (the time before which it drops).
        The attack: the holder of the key drops a single event, and signs false counts for all months before the cut.
        """
        record = self.drops.leaving_out(place)
        if record is not None and at < record.before:
            self.add_finding(
                f"Event {number} is older than {record.before}, but the record of that drop does not list it."
            )

    def read(self, size: int, signed: str) -> Checkpoint | None:
        """Read a stored checkpoint of `size` leaves; report an invalid one and return None."""
        self._has_checkpoints = True
        try:
            checkpoint = read_checkpoint(signed, self.keys.keys)
            if checkpoint.size > (end := self.keys.end(checkpoint.kid)):
                told = f"is signed by a key that was replaced after {end:,} seals{self._restored_before(end)}"
                raise CheckpointRefused(told)
        except CheckpointRefused as refused:
            if self._refused:  # listed once: a log may have a checkpoint for each minute
                self.more += 1
            else:
                self.add_finding(f"The checkpoint of {size:,} seals {refused}.")
            self._refused = True
            return None
        if checkpoint.size != size:
            self.add_finding(
                f"The checkpoint of {size:,} seals was replaced by a checkpoint of {checkpoint.size:,} seals."
            )
            return None
        self.last = checkpoint
        if any(restore.size == size for restore in self.restores):
            self._restored_to[size] = checkpoint.at  # the last stored one, as a check of the backup names it
        return checkpoint

    def _restored_before(self, end: int) -> str:
        """Return advice if the log records a restore to before the replacement of a key after `end` seals."""
        if not any(restore.size < end for restore in self.restores):
            return ""
        return (
            ", and the log records a restore to before that: if you recorded this restore, replace the sealing key"
            " again, and save the keys again (authsec audit keys)"
        )

    def kept_between(self, low: int, high: int) -> list[Checkpoint]:
        """Return the kept checkpoints of more than `low` and up to `high` leaves."""
        first, behind = (bisect_right(self.kept, size, key=lambda checkpoint: checkpoint.size) for size in (low, high))
        return list(self.kept[first:behind])

    def append_leaves(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """Append leaves to the tree. Each item is the event's number and the leaf hash."""
        leaves = list(leaves)
        if self.broken or not leaves:
            return
        self.tree = self.tree.with_leaves(each for _, each in leaves)
        self._since = [(self._since or [leaves[0][0]])[0], leaves[-1][0]]

    def compare_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Compare the root hash of the tree with a checkpoint of the same size. Report a difference."""
        self._note_time(checkpoint)
        self._settled = max(self._settled, checkpoint.through)
        if self.broken:
            return
        if self.tree.root.hex() == checkpoint.root:
            self._good, self._since = checkpoint, []
            return
        self.broken = True
        fitting = self._good
        self.add_finding(
            f"The first {checkpoint.size:,} seals do not match the checkpoint signed at {when(checkpoint)}"
            + (
                f", although the first {fitting.size:,} seals match the checkpoint signed at {when(fitting)}"
                if fitting
                else ""
            )
            + (
                f". From event {self._since[0]} to event {self._since[-1]}, an event or a seal"
                if self._since
                else ". An event or a seal"
            )
            + " was changed, dropped, inserted or moved."
        )

    def _note_time(self, checkpoint: Checkpoint) -> None:
        """Note when the checkpoint was signed. Report a larger checkpoint with an earlier time: a log only grows."""
        newest = self._newest
        if newest and checkpoint.size > newest.size and checkpoint.at < newest.at:
            self.add_finding(
                f"The checkpoint of {checkpoint.size:,} seals was signed at {when(checkpoint)}, before the "
                f"checkpoint of {newest.size:,} seals, which was signed at {when(newest)}."
            )
        if newest is None or (checkpoint.size, checkpoint.at) > (newest.size, newest.at):
            self._newest = checkpoint
        if any(restore.size == checkpoint.size for restore in self.restores):
            self._restored_to.setdefault(checkpoint.size, checkpoint.at)  # no stored one: servers delete some
        self.drops.cover(checkpoint)

    def end(self, size: int, beyond: Sequence[Checkpoint], *, exported: bool = False) -> None:
        """Finish the pass after `size` leaves. `beyond` are checkpoints that cover more leaves than the log has.

        An export may be complete but older than these checkpoints. So if `exported` is true, the finding names both
        possible causes: the log was cut, or the export is older.
        """
        if beyond and exported and self.last is not None and self.last.size == size:
            self.add_finding(
                f"The export has {size:,} seals, and {_beyond(beyond)}. Either the log was cut, or the export is "
                "older than the checkpoints. Make a new export, and verify the new export. Verify an export from "
                "before a restore with a copy of the checkpoints file from before the restore: docs/backup.md."
            )
        elif beyond:
            self.add_finding(f"The log was cut: it has {size:,} seals, and {_beyond(beyond)}.")
        if size and not self.broken and (self.last is None or self.last.size < size):
            self.add_finding(
                f"The last {size - (self.last.size if self.last else 0):,} seals have no signed checkpoint."
            )
        for finding in self.drops.findings(self.now):
            self.add_finding(finding)

    def report(self, size: int, not_yet: int) -> Report:
        """Return the report on the findings so far."""
        restored = self._restored_to
        return Report(
            sealed=size,
            not_yet=not_yet,
            last=self.last,
            findings=tuple(self.findings),
            more=self.more,
            dropped=self.drops.with_missing_events,
            restores=tuple(RecordedRestore(record=one, checkpoint_at=restored.get(one.size)) for one in self.restores),
            has_checkpoints=self._has_checkpoints,
        )


def _beyond(checkpoints: Sequence[Checkpoint]) -> str:
    """Describe checkpoints with more leaves than the log has, in one line.

    There may be very many of these checkpoints, because a server keeps a checkpoint each second.
    """
    first, last = min(checkpoints, key=by_size), max(checkpoints, key=by_size)
    if len(checkpoints) == 1:
        return f"the checkpoint signed at {when(last)} covers {last.size:,} seals"
    return (
        f"{len(checkpoints):,} checkpoints cover more seals: the first, signed at {when(first)}, covers "
        f"{first.size:,}, and the last, signed at {when(last)}, covers {last.size:,}"
    )
