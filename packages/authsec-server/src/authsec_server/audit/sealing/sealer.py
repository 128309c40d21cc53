"""The sealer: about once a second, append committed events to the sealed log and sign a checkpoint.

Any number of servers may run a sealer, and no token request waits for it.
Each sealer reads the new events before it writes.
Then one sealer gets the lock for one transaction. The others find a newer checkpoint and read again.
If a server is killed, its transaction is rolled back, and another server seals within the next second.

A sealer never signs a checkpoint over leaves that it did not verify.
It computes the tree from the stored leaves, and compares the root hash with the last checkpoint.
One of the authority's keys must have signed that checkpoint.
If a comparison fails, raw SQL changed the log, and nothing more is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import anyio
import structlog
from authsec.jose import PrivateKey

from authsec_server.audit import number_ranges, pages
from authsec_server.audit.event_numbers import last_given, raise_sequence
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.number_ranges import Range, ranges_of
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import (
    Checkpoint,
    CheckpointRefused,
    Keys,
    read_checkpoint,
    sign_checkpoint,
)
from authsec_server.audit.sealing.sealable import Sealable, sealable_events, usual_events
from authsec_server.audit.sealing.succession import Succession, is_next, succession
from authsec_server.audit.unreadable_rows import numbers_fitting
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

SECONDS = 1.0
RETRY_SECONDS = 60.0  # after a failure that will not pass by itself
FRESH = timedelta(seconds=60)  # a checkpoint is signed so often though nothing is new
# Numbers are given before the commit, so a lower one may appear later; and a refusal is counted up during its minute.
# Longer by far than a transaction may take, and than servers' clocks may differ.
SETTLING = timedelta(minutes=5)
LATE = timedelta(seconds=10)  # so often all that has not settled is looked through, for what came late
BATCH = 500  # events; on SQLite tokens wait while they are written
MOST_NAMED = 10  # refused events that one pass names in the server's log
CATCHING_UP = 10_000  # leaves read at once


class LogBroken(Exception):
    """The sealed log does not match its signed checkpoints.

    The text of the error says why. `authsec audit verify` says which events or leaves are wrong.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsealedEvents:
    """The state of the database before sealing: its last checkpoint, and the events to seal.

    `refused` are numbers of events that AuthSec did not write, or that the database did not give. They get no seal.
    Once `events` are sealed, every other event numbered up to `settled` has a seal.
    Events numbered above `top` were recorded after this state was read.
    """

    signed: str | None
    events: Sequence[Sealable]
    refused: Sequence[int]
    full: bool
    settled: int
    top: int
    is_set_back: bool  # the sequence of event numbers
    version: int  # of the authority
    signing_keys: Sequence[str]


class Sealer:
    """Seals the audit log of one database.

    `keys` returns the public keys that verify the checkpoints of this server and of others.
    `signing_key` returns the private key with a `kid`; for an empty text, the first key.
    `give` is called with each checkpoint that matches the leaves. `give` must not block.
    `token_keys` lists the `kid`s of the keys that sign tokens now and next.
    Nothing is sealed while `paused` returns true.
    """

    def __init__(
        self,
        database: Database,
        *,
        issuer: str,
        signing_key: Callable[[str], PrivateKey],
        keys: Callable[[], Keys],
        now: Callable[[], datetime],
        give: Callable[[Checkpoint], None] = lambda _: None,
        token_keys: Callable[[Tx], Sequence[str]] = lambda _: (),
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._signing_key = signing_key
        self._keys = keys
        self._now = now
        self._give = give
        self._token_keys = token_keys
        self._paused = paused
        self._tree = Tree()  # of the leaves that this process has read
        self._order = Succession(keys={})  # of the sealing keys, as the records in `_looked_through` leaves say
        self._looked_through = 0
        self._checkpoint: Checkpoint | None = None
        self._top = 0  # what is above came after the last pass
        self._searched: datetime | None = None  # when all that has not settled was last looked through
        self._kept_out: datetime | None = None  # since when this process has not had the turn, and nobody else has
        self._named: set[int] = set()  # refused events that are in the server's log

    def seal(self) -> bool:
        """Seal new events. Return whether there may be more events to seal without a pause.

        Raises `Unavailable` or `LogBroken`.
        """
        now = self._now()
        self._catch_up()
        key = self._present_key()
        through = self._checkpoint.through if self._checkpoint else 0
        stale = self._checkpoint is not None and now - self._checkpoint.at >= FRESH
        search = stale or self._searched is None or now - self._searched >= LATE
        after = through if search else max(through, self._top)
        unsealed = self._database.read(
            lambda tx: _read_unsealed(tx, after, through, now, self._token_keys, self._order)
        )
        if unsealed.signed != (self._checkpoint.signed if self._checkpoint else None):
            return True  # another server was first
        if unsealed.is_set_back and self._database.dialect == "postgresql":
            self._database.append(lambda tx: raise_sequence(tx.connection, through))
        self._name(unsealed.refused)
        if search:
            self._name(self._database.read(partial(_covered_without_seal, through=through, now=now)))
        if unsealed.events or stale:
            through = max(through, unsealed.settled) if search else through
            if not self._sign(unsealed, through, now, key):
                self._warn(now)
                return unsealed.full
        self._top = unsealed.top  # what a full pass has left is behind it, also where nothing of it could be read
        if search:
            self._searched = now
        return unsealed.full

    def _warn(self, now: datetime) -> None:
        """Log an error, once in a while, if no server could seal for a long time."""
        self._kept_out = self._kept_out or now
        if now - self._kept_out >= SETTLING:
            self._kept_out = now
            log.error("the audit log is not sealed: another session holds the sealing lock, or locks rows of counts")

    def _name(self, refused: Sequence[int]) -> None:
        """Log the number of each event that is refused a seal. Each number is logged once."""
        for number in [each for each in refused if each not in self._named][:MOST_NAMED]:
            log.error(
                "an event is not sealed, because no server gave it this form or number: authsec audit verify",
                number=number,
            )
        known = self._named if len(self._named) < CATCHING_UP else set()
        self._named = {*known, *refused}

    def reset(self) -> None:
        """Forget the log that this process read, because an older database was restored and the restore recorded."""
        self._tree, self._checkpoint, self._top, self._searched = Tree(), None, 0, None
        self._forget_order()

    def key(self) -> PrivateKey:
        """Return the current signing key. Raises `Unavailable` or `LogBroken`."""
        self._catch_up()
        return self._present_key()

    def _present_key(self) -> PrivateKey:
        self._read_records(self._checkpoint.size if self._checkpoint else 0)
        key = self._signing_key(self._order.present(self._checkpoint.kid if self._checkpoint else ""))
        self._order = replace(self._order, keys={**self._order.keys, key.public.thumbprint(): key.public})
        return key

    def _read_records(self, size: int) -> None:
        """Read which keys were replaced, up to the leaf number `size`. Each leaf is looked through once.

        The attack: raw SQL inserts very many events that say that the key was replaced.
        """
        if size <= self._looked_through:
            return
        low = self._looked_through
        read = partial(_replacements, low=low, high=size)
        self._order = succession(self._database.read(read), self._order.keys, self._order.ends, self._order.after)
        self._looked_through = size

    def _forget_order(self) -> None:
        """Forget the order of the keys: raw SQL may have changed a record for a moment."""
        self._order, self._looked_through = Succession(keys={}), 0

    def _sign(self, unsealed: UnsealedEvents, through: int, now: datetime, key: PrivateKey) -> bool:
        """Append the events with a new checkpoint. Return whether they were written."""
        tree, added = _appended(self._tree, unsealed.events)
        now = (
            max(now, self._checkpoint.at) if self._checkpoint else now
        )  # checkpoints never go back in time, though clocks do
        checkpoint = sign_checkpoint(
            tree,
            through=through,
            at=now,
            issuer=self._issuer,
            key=key,
            authority_version=unsealed.version,
            signing_keys=unsealed.signing_keys,
        )
        ranges = ranges_of((event.at, event.number) for event in unsealed.events)
        kept = self._database.append(lambda tx: _keep(tx, unsealed, added, ranges, checkpoint))
        if kept:
            self._remember(tree, checkpoint)
        return kept

    def _catch_up(self) -> None:
        """Read the leaves up to the last checkpoint, and verify that their root hash is the checkpoint's.

        Raises `LogBroken`.
        """
        signed = self._database.read(lambda tx: store.last_signed(tx.connection))
        if signed is None:
            if self._checkpoint:
                raise LogBroken("The log's checkpoints are missing.")
            return
        if self._checkpoint and signed == self._checkpoint.signed:
            return
        checkpoint = self._read_checkpoint(signed)
        tree = self._read_on(checkpoint.size)
        if tree.root.hex() != checkpoint.root:
            raise LogBroken(
                "The log's last checkpoint does not match the seals before it: its root hash is another one."
            )
        self._read_records(checkpoint.size)
        if checkpoint.size > self._order.end(checkpoint.kid):
            self._forget_order()
            raise LogBroken("The log's last checkpoint is signed by a key that was replaced.")
        self._remember(tree, checkpoint)

    def _read_checkpoint(self, signed: str) -> Checkpoint:
        with suppress(CheckpointRefused):
            return read_checkpoint(signed, self._order.keys)
        self._forget_order()
        self._order = Succession(keys=self._keys())
        try:
            return read_checkpoint(signed, self._order.keys)
        except CheckpointRefused as refused:
            raise LogBroken(f"The log's last checkpoint {refused}.") from None

    def _remember(self, tree: Tree, checkpoint: Checkpoint) -> None:
        self._tree, self._checkpoint, self._kept_out = tree, checkpoint, None
        self._give(checkpoint)

    def _read_on(self, size: int) -> Tree:
        """Return the tree of the first `size` leaves. Only leaves that this process has not read yet are read."""
        tree = self._tree
        while tree.size < size:
            limit = min(CATCHING_UP, size - tree.size)
            found = self._database.read(partial(_hashes, after=tree.size - 1, limit=limit))
            if not found:
                raise LogBroken("The log is shorter than its last checkpoint says.")
            tree = tree.with_leaves(found)
        if tree.size != size:
            raise LogBroken("The log is shorter than before.")
        return tree

    async def run(self) -> None:
        """Seal until cancelled."""
        while True:
            wait = SECONDS
            if self._paused():
                await anyio.sleep(wait)
                continue
            try:
                wait = 0 if await anyio.to_thread.run_sync(self.seal) else SECONDS
            except Unavailable:
                log.debug("sealing the audit log is waiting for the database")
            except LogBroken as broken:
                log.error("the audit log is not sealed any further: authsec audit verify", why=str(broken))
                wait = RETRY_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it was, the audit log must be sealed again when it is over
                log.error("sealing the audit log failed and will be retried", error=type(error).__name__)
                wait = RETRY_SECONDS
            await anyio.sleep(wait)


def _read_unsealed(
    tx: Tx, after: int, through: int, now: datetime, token_keys: Callable[[Tx], Sequence[str]], order: Succession
) -> UnsealedEvents:
    connection = tx.connection
    growing = store.Growing(since=now.replace(second=0, microsecond=0) - SETTLING, until=now + SETTLING)
    given = min(last_given(connection), MAX_NUMBER)  # after `tx` has read: a sequence has no snapshots
    numbers = store.unsealed(connection, after=after, top=given, growing=growing, limit=BATCH)
    full = len(numbers) == BATCH
    events = usual_events(connection, numbers)
    if events is None:
        if (fitting := numbers_fitting(connection, numbers)) != numbers:
            numbers, full = list(fitting), True
        events = sealable_events(connection, numbers)
    # The checkpoint that covers a replaced key's record is the last that this key signs: it ends there.
    replacing = [each.number for each in events if each.kind == EventKind.SEAL_KEY_REPLACED]
    records = sorted(store.replacing(connection, replacing))
    if replaced := next((number for number, signed in records if is_next(signed, order)), None):
        numbers, full = numbers[: numbers.index(replaced) + 1], True
        events = [each for each in events if each.number <= replaced]
    bounds = [pages.last_before(connection, now - SETTLING, given)]
    if full:
        bounds.append(numbers[-1])
    first = store.first_growing(connection, after=after, growing=growing)
    if first is not None:
        bounds.append(first - 1)
    return UnsealedEvents(
        signed=store.last_signed(connection),
        events=events,
        refused=sorted({*numbers, *store.above(connection, given, MOST_NAMED)} - {each.number for each in events}),
        full=full,
        settled=min(bounds),
        top=numbers[-1] if full else pages.highest(connection, given),
        is_set_back=given < through,
        version=tx.version,
        signing_keys=token_keys(tx),
    )


def _covered_without_seal(tx: Tx, *, through: int, now: datetime) -> list[int]:
    """Return the new events without a seal whose number the checkpoint already covers: somebody gave it twice."""
    return store.without_seal(tx.connection, through=through, since=now - 2 * SETTLING)


def _replacements(tx: Tx, *, low: int, high: int) -> list[tuple[int, str]]:
    if low:
        return store.replacements_between(tx.connection, low, high)
    return [each for each in store.replacements(tx.connection) if each[0] < high]  # of a whole log, by an index


def _hashes(tx: Tx, *, after: int, limit: int) -> list[bytes]:
    return store.hashes(tx.connection, after=after, limit=limit)


def _appended(tree: Tree, events: Sequence[Sealable]) -> tuple[Tree, list[store.Leaf]]:
    added = [
        store.Leaf(position=tree.size + place, event_id=each.number, hash=each.hash)
        for place, each in enumerate(events)
    ]
    return tree.with_leaves(leaf.hash for leaf in added), added


def _keep(
    tx: Tx,
    unsealed: UnsealedEvents,
    added: Sequence[store.Leaf],
    ranges: Mapping[datetime, Range],
    checkpoint: Checkpoint,
) -> bool:
    """Write the leaves and the checkpoint. Return whether they were written.

    Nothing is written if another server has the lock or sealed first.
    Nothing is written either if a counted refusal got further occurrences in the meantime.
    """
    if not store.lock_sealing(tx.connection) or store.last_signed(tx.connection) != unsealed.signed:
        return False
    counts = {each.number: each.occurrences for each in unsealed.events if each.occurrences is not None}
    if not store.lock_counts(tx.connection, counts):
        return False
    store.add_leaves(tx.connection, added)
    number_ranges.add(tx.connection, ranges)
    store.add_checkpoint(tx.connection, checkpoint)
    return True
