"""A pass over the leaves of the sealed log. It compares leaves with events, and the tree with checkpoints."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from authsec_server.audit.sealing import range_check
from authsec_server.audit.sealing.checkpoints import Checkpoint, when
from authsec_server.audit.sealing.late_seals import LateSealsWatch
from authsec_server.audit.sealing.log_check import LogCheck
from authsec_server.audit.sealing.revocation_check import KEPT_FOR
from authsec_server.audit.sealing.scratch import Scratch, ScratchLeaf
from authsec_server.audit.sealing.waiting import Waiting
from authsec_server.db.versions import MAX_VERSION

_BATCH = 1000  # leaves
_INVALID = "has a form that AuthSec does not write: lists cannot show the event, or totals with the event are wrong."


@dataclass(slots=True, kw_only=True)
class LeafWalk:
    """A pass over the leaves of the sealed log, in the order of sealing. Call `run`, then `end`."""

    scratch: Scratch
    log_check: LogCheck
    unsealed: Waiting
    late: LateSealsWatch = field(default_factory=LateSealsWatch)
    through: int = 0  # the checkpoints cover every event up to this number
    deletable: int | None = None  # servers delete no revocation above this version; None if no checkpoint has a version
    _waiting: list[tuple[int, bytes]] = field(default_factory=list)  # leaves to append to the tree
    _versions: list[tuple[int, int]] = field(default_factory=list)  # an authority version, its largest size

    def run(self) -> None:
        """Compare each leaf with its event, and the tree with each checkpoint."""
        checkpoints = self._checkpoints()
        checkpoint, expected = next(checkpoints, None), 0
        for leaf in self.scratch.joined_leaves():
            if leaf.position != expected:
                self.log_check.report_missing_leaf(expected)
            self._compare(leaf, checkpoint)
            self.log_check.check_order(leaf.number)
            self._waiting.append((leaf.number, leaf.hash))
            expected = leaf.position + 1
            while checkpoint is not None and checkpoint.size <= expected:
                self._grow()
                if checkpoint.size == expected:
                    self.log_check.compare_checkpoint(checkpoint)
                    self._keep_version(checkpoint)
                checkpoint = next(checkpoints, None)
            if len(self._waiting) >= _BATCH:
                self._grow()
        self._grow()
        beyond = [checkpoint, *checkpoints] if checkpoint is not None else []
        self.log_check.end(self.scratch.size(), beyond)

    def end(self) -> int:
        """Report errors in the tables that belong to the sealed log. Return how many events wait for their seal."""
        scratch, find = self.scratch, self.log_check.add_finding
        self.through = max([self.through, *(checkpoint.through for checkpoint in self.log_check.kept)])
        for number in scratch.sealed_twice():
            find(f"Event {number} has more than one seal.")
        not_yet = 0
        for number, at, of_server in scratch.not_sealed():
            if number > self.through:
                not_yet += 1
                if at is not None:
                    self.unsealed.add(at, of_server=bool(of_server))
                continue
            find(
                f"Event {number} has no seal, although all events up to {self.through} had one: the event was "
                "inserted later, or its seal was removed."
            )
        for number, copies in scratch.unsealed_copies():
            find(f"Event {number} occurs {copies} times, and has no seal.")
        for number in scratch.invalid_and_not_sealed():
            find(f"Event {number} {_INVALID}")
        self._check_links()
        for finding in range_check.findings(scratch, self.log_check.drops.with_missing_events):
            find(finding)
        for table, key, rows in scratch.copies():
            find(f"The table {table} has {rows:,} rows with the key {key}; no server writes a second one.")
        return not_yet

    def _check_links(self) -> None:
        scratch, find = self.scratch, self.log_check.add_finding
        for number, delegation in scratch.not_listed():
            find(f"Event {number} is not listed under the delegation {_shown(delegation)} that it names.")
        for number, delegation in scratch.listed_wrongly():
            find(f"Event {number} is listed under the delegation {_shown(delegation)}, which it does not name.")
        for number, delegation, rows in scratch.listed_again():
            find(f"Event {number} is listed {rows:,} times under the delegation {_shown(delegation)}.")

    def last_dropped(self) -> tuple[int, int]:
        """Return the highest authority version and number that a dropped event can have; zeros if nothing was dropped.

        The version is the lowest of all checkpoints that cover the last dropped event. The attack: a person with a
        stolen key signs a single checkpoint with a false version.
        The version alone excuses nothing, because raw SQL may have raised it while events were sealed. The number is
        in the signed record of the drop.
        """
        place = self.log_check.drops.last_place()
        if place is None:
            return 0, 0
        version = min((version for version, size in self._versions if size > place), default=MAX_VERSION)
        return version, self.log_check.drops.last_number()

    def _keep_version(self, checkpoint: Checkpoint) -> None:
        version = checkpoint.authority_version  # checkpoints of old versions have none
        if version is None or self.log_check.broken:
            return
        self._note_deletable(checkpoint.at, version)
        if self._versions and self._versions[-1][0] == version:
            self._versions.pop()
        self._versions.append((version, checkpoint.size))

    def _note_deletable(self, at: datetime, version: int) -> None:
        """Note the version of the newest checkpoint that is older than all rows of revocations that servers keep.

        A server deletes a revocation only if a checkpoint of eight days ago had reached its version (`version_at`).
        Without so old a checkpoint, the first one decides: each change above its version is younger.
        """
        now = self.log_check.now
        if self.deletable is None or (now is not None and at <= now - KEPT_FOR):
            self.deletable = version
        else:
            self.deletable = min(self.deletable, version)

    def _compare(self, leaf: ScratchLeaf, checkpoint: Checkpoint | None) -> None:
        """Compare a leaf with its event. `checkpoint` is the first checkpoint that covers the leaf."""
        find, number = self.log_check.add_finding, leaf.number
        if leaf.leaf_copies > 1:
            find(f"The seal at position {leaf.position} occurs {leaf.leaf_copies} times.")
        if leaf.copies > 1:
            find(f"Event {number} occurs {leaf.copies} times, but was sealed once.")
        elif leaf.copies == 0:
            self.log_check.report_missing_event(leaf.position, number, leaf.hash)
        elif leaf.leaf is None:
            find(f"Event {number} was changed and cannot be read.")
        elif leaf.leaf != leaf.hash:
            find(f"Event {number} was changed: the event differs from its seal.")
        else:
            self._confirm(leaf, checkpoint)

    def _confirm(self, leaf: ScratchLeaf, checkpoint: Checkpoint | None) -> None:
        """Run the further checks of an event that matches its seal."""
        number = leaf.number
        if not leaf.valid:
            self.log_check.add_finding(f"Event {number} {_INVALID}")
        if not leaf.in_range:
            self.log_check.add_finding(
                f"Event {number} is outside the number range of its hour in the table `number_ranges`: lists by "
                "time omit the event."
            )
        if leaf.record is not None:
            self.log_check.confirm_event(leaf.position, leaf.record)
        if leaf.at is None:
            return
        if not leaf.stays:
            self.log_check.check_kept_event(leaf.position, number, leaf.at)
        if checkpoint is not None:
            self.late.check(number, leaf.at, checkpoint)

    def _grow(self) -> None:
        self.log_check.append_leaves(self._waiting)
        self._waiting.clear()

    def _checkpoints(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints of the database and the checkpoints kept elsewhere, by size and then by time."""
        kept = deque(self.log_check.kept)
        for size, at, signed in self.scratch.checkpoints():
            if (checkpoint := self.log_check.read(size, signed)) is None:
                continue
            self.through = max(self.through, checkpoint.through)
            if at is None or datetime.fromisoformat(at) != checkpoint.at:
                self.log_check.add_finding(
                    f"The checkpoint of {checkpoint.size:,} seals was signed at {when(checkpoint)}, but is stored "
                    "with another time."
                )
            while kept and (kept[0].size, kept[0].at) <= (checkpoint.size, checkpoint.at):
                yield kept.popleft()
            yield checkpoint
        yield from kept


def _shown(delegation: bytes) -> str:
    return delegation.decode("utf-8", "backslashreplace")
