"""Whether the journal in a database is as it was sealed. It needs the public keys, and no server and no secret.

Each leaf must be the hash of its event. The leaves must lead to each head that stands beside them, and to the heads
that somebody kept elsewhere: those show that a log was cut, or written anew by somebody who has the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from authsec_server.audit.leaves import event_hash
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import decided
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.count_check import CountCheck
from authsec_server.audit.sealing.dropped import believed, drop_of
from authsec_server.audit.sealing.given import Given
from authsec_server.audit.sealing.heads import Head, Keys
from authsec_server.audit.sealing.store import Leaf
from authsec_server.audit.sealing.succession import succession
from authsec_server.audit.sealing.trail import MOST, Report, Trail, when
from authsec_server.db import Tx
from authsec_server.failures import NotFound

BATCH = 1000


def verify(
    tx: Tx,
    keys: Keys,
    kept: Sequence[Head] = (),
    given: Sequence[Given] = (),
    ends: Mapping[str, int] | None = None,
    *,
    now: datetime | None = None,
    counts: bool = True,
) -> Report:
    """Compare the journal with its seals, and with the heads that were `kept` elsewhere. Blocks its thread.

    `given` are exports that hold what was dropped since; `ends` how many leaves heads of replaced keys may have, as far
    as that is known already: the journal says it, too. Without `counts` the counts are not compared with the events.

    Raises `NotFound` where an older version has kept the journal.
    """
    if not store.is_there(tx.connection):
        raise NotFound("This database has no seals.", "Start a server of this version on it: it seals what is there.")
    store.be_patient(tx.connection)
    believing = succession(store.replacements(tx.connection), keys, ends)
    records = believed(map(drop_of, store.of_kind(tx.connection, EventKind.EVENTS_DROPPED)), believing.keys)
    trail = Trail(keys=believing, kept=kept, records=records, given=given)
    walk = _Walk(connection=tx.connection, trail=trail)
    walk.run()
    unchecked = _check_counts(tx.connection, trail, now) if counts else ()
    not_yet, size = store.not_sealed_above(tx.connection, walk.through), store.size(tx.connection)
    if not size and not_yet and not trail.findings:
        trail.find(f"None of the {not_yet:,} events is sealed: nothing can be shown.")
    return trail.report(size, not_yet, unchecked)


def keys_of(tx: Tx, keys: Keys) -> Keys:
    """These keys, and those that they lead to in this journal."""
    return succession(store.replacements(tx.connection), keys).keys if store.is_there(tx.connection) else keys


def _check_counts(connection: Connection, trail: Trail, now: datetime | None) -> tuple[str, ...]:
    """Compare the counts with the events; what could not be checked."""
    with CountCheck(connection, now=now) as check:
        for outcome in decided(connection):
            check.add(outcome)
        for finding in check.findings(trail.newest_drop()):
            trail.find(finding)
        return check.unchecked


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One walk along the log of a database."""

    connection: Connection
    trail: Trail
    through: int = 0  # up to this number every event is sealed, the heads say

    def run(self) -> None:
        after = -1
        while found := store.leaves(self.connection, after=after, limit=BATCH):
            self._compare(found)
            self._grow(found, after + 1)
            after = found[-1].position
        self._end()

    def _compare(self, leaves: Sequence[Leaf]) -> None:
        """Each event with its leaf."""
        find = self.trail.find
        rows = store.events_by_number(self.connection, [leaf.event_id for leaf in leaves])
        there = store.numbers_there(self.connection, {leaf.event_id for leaf in leaves} - rows.keys())
        for leaf in leaves:
            number, its = leaf.event_id, rows.get(leaf.event_id, [])
            if len(its) > 1:
                find(f"Event {number} is there {len(its)} times: it was sealed once.")
            elif its and event_hash(its[0]._asdict()) != leaf.hash:
                find(f"Event {number} was changed: it is not what was sealed.")
            elif its and its[0].kind == EventKind.EVENTS_DROPPED:
                self.trail.confirm(leaf.position, its[0]._asdict())
            elif not its and number in there:
                find(f"Event {number} was changed: it cannot even be read.")
            elif not its:
                self.trail.miss(leaf.position, number, leaf.hash)

    def _grow(self, leaves: Sequence[Leaf], start: int) -> None:
        """Along these leaves, stopping at each head on the way."""
        places = range(start, start + len(leaves))
        gap = next((place for place, leaf in zip(places, leaves, strict=True) if leaf.position != place), None)
        if gap is not None:
            self.trail.lack(gap)
        done = 0
        for head in self._heads(start, leaves[-1].position + 1):
            upto = head.size - start
            self.trail.grow((leaf.event_id, leaf.hash) for leaf in leaves[done:upto])
            self.trail.meet(head)
            done = max(done, upto)
        self.trail.grow((leaf.event_id, leaf.hash) for leaf in leaves[done:])

    def _heads(self, low: int, high: int) -> list[Head]:
        """The heads for trees of more than `low` and up to `high` leaves, those that somebody kept as well."""
        found = []
        for size, signed in store.heads_between(self.connection, low, high):
            if head := self.trail.read(size, signed):
                found.append(head)
                self.through = max(self.through, head.through)
        for head in store.dated_otherwise(self.connection, found):
            self.trail.find(
                f"The head of {head.size:,} seals was signed at {when(head)}, and is kept as of another time."
            )
        return sorted([*found, *self.trail.kept_between(low, high)], key=lambda head: head.size)

    def _end(self) -> None:
        """What must stand at the end of the log, and what must not stand beside it."""
        size = store.size(self.connection)
        self.trail.end(size, self._heads(size, store.MAX_SIZE))
        self.through = max([self.through, *(head.through for head in self.trail.kept)])
        for number in store.not_sealed_up_to(self.connection, self.through, MOST + 1):
            self.trail.find(
                f"Event {number} has no seal, though all up to event {self.through} had one: it was inserted later, or"
                " its seal was taken away."
            )
