"""Whether the journal in a database is as it was sealed. It needs the public keys, and no server and no secret.

Each leaf must be the hash of its event. The leaves must lead to each head that stands beside them, and to the heads
that somebody kept elsewhere: those show that a log was cut, or written anew by somebody who has the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.heads import Head, HeadRefused, Keys, read_head
from authsec_server.audit.sealing.leaves import event_hash
from authsec_server.audit.sealing.store import Leaf
from authsec_server.audit.sealing.tree import Tree
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.web.instants import rfc3339

BATCH = 1000
MOST = 100  # findings that are told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. `not_yet` events are newer than what the last head covers; `findings` are sentences."""

    sealed: int
    not_yet: int
    last: Head | None
    findings: tuple[str, ...]
    more: int

    @property
    def as_sealed(self) -> bool:
        """Whether all is as it was sealed, and anything was."""
        return not self.findings and self.last is not None


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One walk along the log."""

    connection: Connection
    keys: Keys
    kept: Sequence[Head]  # by size
    tree: Tree = field(default_factory=Tree)
    last: Head | None = None  # the newest head beside the log
    good: Head | None = None  # the newest head that the leaves led to
    through: int = 0
    broken: bool = False  # a leaf is missing, or a head did not fit: what comes after fits no head either
    refused: bool = False  # a head
    findings: list[str] = field(default_factory=list)
    more: int = 0

    def run(self) -> None:
        after = -1
        while found := store.leaves(self.connection, after=after, limit=BATCH):
            self._compare(found)
            self._grow(found, after + 1)
            after = found[-1].position
        self._end()

    def find(self, finding: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(finding)
        else:
            self.more += 1

    def _compare(self, leaves: Sequence[Leaf]) -> None:
        """Each event with its leaf."""
        rows = store.events_by_number(self.connection, [leaf.event_id for leaf in leaves])
        there = store.numbers_there(self.connection, {leaf.event_id for leaf in leaves} - rows.keys())
        for leaf in leaves:
            number, its = leaf.event_id, rows.get(leaf.event_id, [])
            if len(its) > 1:
                self.find(f"Event {number} is there {len(its)} times: it was sealed once.")
            elif its and event_hash(its[0]._asdict()) != leaf.hash:
                self.find(f"Event {number} was changed: it is not what was sealed.")
            elif not its:
                what = (
                    "was changed: it cannot even be read" if number in there else "was dropped: only its seal is left"
                )
                self.find(f"Event {number} {what}.")

    def _grow(self, leaves: Sequence[Leaf], start: int) -> None:
        """The tree by these leaves, stopping at each head on the way."""
        expected = range(start, start + len(leaves))
        gap = next((place for place, leaf in zip(expected, leaves, strict=True) if leaf.position != place), None)
        if gap is not None and not self.broken:
            self.find(f"The log lacks the seal in place {gap}: it was dropped.")
            self.broken = True
        end = leaves[-1].position + 1
        for head in self._heads(start, end):
            if not self.broken:
                self._grow_to(leaves[self.tree.size - start : head.size - start])
                self._meet(head)
        if not self.broken:
            self._grow_to(leaves[self.tree.size - start :])

    def _grow_to(self, leaves: Sequence[Leaf]) -> None:
        self.tree = self.tree.with_leaves(leaf.hash for leaf in leaves)

    def _heads(self, low: int, high: int) -> list[Head]:
        """The heads for trees of more than `low` and up to `high` leaves, those that somebody kept as well."""
        beside = []
        for size, signed in store.heads_between(self.connection, low, high):
            try:
                head = read_head(signed, self.keys)
            except HeadRefused as refused:
                self._refuse(f"The head of {size:,} seals {refused}.")
                continue
            if head.size != size:
                self.find(f"The head of {size:,} seals was replaced by one of {head.size:,}.")
                continue
            beside.append(head)
            self.last = head
            self.through = max(self.through, head.through)
        return sorted([*beside, *(head for head in self.kept if low < head.size <= high)], key=lambda head: head.size)

    def _refuse(self, finding: str) -> None:
        """Of heads that cannot be believed the first is told: there are as many as minutes."""
        if self.refused:
            self.more += 1
        else:
            self.find(finding)
        self.refused = True

    def _meet(self, head: Head) -> None:
        if self.tree.root.hex() == head.root:
            self.good = head
            return
        self.broken = True
        low = self.good.size if self.good else 0
        ends = store.numbers_at(self.connection, (low, head.size - 1))
        self.find(
            f"The first {head.size:,} seals do not lead to the head signed at {rfc3339(head.at)}"
            + (f", though the first {low:,} lead to that of {rfc3339(self.good.at)}" if self.good else "")
            + f": from event {ends[0]} to event {ends[-1]}, something was changed, dropped, inserted or moved with its"
            " seal, or only its seal was."
        )

    def _end(self) -> None:
        """What must stand at the end of the log, and what must not stand beside it."""
        size = store.size(self.connection)
        for head in self._heads(size, store.MAX_SIZE):
            self.find(
                f"The log was cut: it has {size:,} seals, and the head signed at {rfc3339(head.at)} had {head.size:,}."
            )
        if size and not self.broken and (self.last is None or self.last.size < size):
            self.find(f"The last {size - (self.last.size if self.last else 0):,} seals stand under no signed head.")
        self.through = max([self.through, *(head.through for head in self.kept)])
        for number in store.not_sealed_up_to(self.connection, self.through, MOST + 1):
            self.find(
                f"Event {number} has no seal, though all up to event {self.through} had one: it was inserted later, or"
                " its seal was taken away."
            )


def verify(tx: Tx, keys: Keys, kept: Sequence[Head] = ()) -> Report:
    """Compare the journal with its seals, and with the heads that were `kept` elsewhere. Blocks its thread.

    Raises `NotFound` where an older version has kept the journal.
    """
    if not store.is_there(tx.connection):
        raise NotFound("This database has no seals.", "Start a server of this version on it: it seals what is there.")
    store.be_patient(tx.connection)
    walk = _Walk(connection=tx.connection, keys=keys, kept=sorted(kept, key=lambda head: head.size))
    walk.run()
    not_yet, size = store.not_sealed_above(tx.connection, walk.through), store.size(tx.connection)
    if not size and not_yet and not walk.findings:
        walk.find(f"None of the {not_yet:,} events is sealed: nothing can be shown.")
    return Report(sealed=size, not_yet=not_yet, last=walk.last, findings=tuple(walk.findings), more=walk.more)
