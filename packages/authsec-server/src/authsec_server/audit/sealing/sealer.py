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

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import anyio
import structlog
from authsec.jose import PrivateKey
from sqlalchemy.exc import DBAPIError

from authsec_server.audit.event_numbers import Numbers, end_cache, ended_number, mend_sequence
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.model import EventKind
from authsec_server.audit.number_ranges import ranges_of
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import (
    Checkpoint,
    CheckpointRefused,
    Keys,
    read_checkpoint,
    sign_checkpoint,
)
from authsec_server.audit.sealing.log_append import append, appended
from authsec_server.audit.sealing.number_history import NumberHistory
from authsec_server.audit.sealing.pauses import pause
from authsec_server.audit.sealing.succession import Succession
from authsec_server.audit.sealing.unsealed import MOST_NAMED, SETTLING, Start, UnsealedEvents, read_unsealed
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

SECONDS = 1.0
RETRY_SECONDS = 60.0  # after a broken log or an unexpected error
FRESH = timedelta(seconds=60)  # between two checkpoints if there is no new event
LATE = timedelta(seconds=10)  # between two full passes, which also find events that came late
OLD = 2 * SETTLING  # older events are committed, and their counts do not grow
CATCHING_UP = 10_000  # leaves read together


class LogBroken(Exception):
    """The sealed log does not match its signed checkpoints.

    The text of the error says why. `authsec audit verify` says which events or leaves are wrong.
    """


class Sealer:
    """Seals the audit log of one database.

    `keys` returns the public keys that verify the checkpoints of this server and of others.
    `signing_key` returns the private key with a `kid`; for an empty text, the first key.
    `give` is called with each checkpoint that matches the leaves. `give` must not block.
    `token_keys` lists the `kid`s of the keys that sign tokens now and next.
    Nothing is sealed while `paused` returns true.
    `pass_time` returns the time of a pass on PostgreSQL. Its arguments are three times: this server's time before and
    after the read of PostgreSQL's time, and PostgreSQL's time. If it returns None, the pass seals nothing. The reason:
    with a clock that is ahead, a pass would settle numbers of running transactions, and make servers with a right
    clock unready.
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
        pass_time: Callable[[datetime, datetime, datetime], datetime | None] = lambda before, *_: before,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._signing_key = signing_key
        self._keys = keys
        self._now = now
        self._give = give
        self._token_keys = token_keys
        self._paused = paused
        self._pass_time = pass_time
        self._tree = Tree()  # the tree of the leaves that this process has read
        self._order = Succession(keys={})  # of the sealing keys, from the first `_looked_through` leaves
        self._looked_through = 0
        self._checkpoint: Checkpoint | None = None
        self._top = 0  # events with higher numbers came after the last pass
        self._searched: datetime | None = None  # when a full pass last read events
        self._searching = False  # whether a full pass is still incomplete
        self._final = 0  # the `final` of the read with which the full pass began
        self._passed: datetime | None = None  # when a pass last read the log to its end
        self._kept_out: datetime | None = None  # since when no server has sealed
        self._history = NumberHistory()
        self._named: set[int] = set()  # refused events that are in the server's log
        self._planted: Sequence[tuple[int, int]] = ()  # seals that the last pass found

    def seal(self) -> bool:
        """Seal new events. Return whether more events may wait, so that the next call needs no pause.

        Raises `Unavailable` or `LogBroken`.
        """
        now = self._now()
        try:
            return self._seal(now)
        except Unavailable as error:
            self._warn(now, error.message)
            raise

    def _seal(self, before: datetime) -> bool:
        (signed, database), ended = self._read(_before_a_pass)
        now = self._pass_time(before, self._now(), database) if database else before
        self._catch_up(signed)
        if now is None:
            self._warn(before, "this server's clock differs from the database's clock")
            return False
        key = self._present_key()
        through = self._checkpoint.through if self._checkpoint else 0
        stale = self._checkpoint is not None and (now - self._checkpoint.at >= FRESH or self._has_new_issuer())
        is_due = stale or self._searched is None or now - self._searched >= LATE
        begins = is_due and not self._searching  # an incomplete full pass continues: its first events may be long
        after = through if begins else max(through, self._top)
        start = Start(
            now=now,
            after=after,
            through=through,
            old=self._history.top_at(now - OLD),
            ended=None if database is None else max(through, ended or self._history.top_at(now - SETTLING)),
            places=self._history.seal_places(after, self._tree.size),
            named=len(self._named),
        )
        unsealed = self._read(lambda tx: read_unsealed(tx, start, self._token_keys, self._order))
        if unsealed.signed != (self._checkpoint.signed if self._checkpoint else None):
            return True  # another server was first
        if unsealed.is_disturbed:
            self._mend_sequence(unsealed.following)
        self._name(unsealed.refused)
        if unsealed.planted:
            self._refuse_if_genuine(unsealed.planted, now)
        if is_due:
            covered = partial(_covered_without_seal, through=through, since=self._since(now), named=len(self._named))
            self._name(self._read(covered))
        searching, final = begins or self._searching, unsealed.final if begins else self._final
        if unsealed.events or unsealed.planted or stale:
            through = max(through, min(unsealed.settled, final)) if searching else through
            if not self._sign(unsealed, through, now, key):
                self._warn(now, "another session holds the sealing lock, or locks rows of counts")
                return unsealed.full
        self._kept_out = None
        self._passed = now
        self._history.add(now, self._tree.size, unsealed.highest)
        self._top = unsealed.top  # only a full pass reads lower numbers again
        self._searching, self._final = searching and unsealed.full, final
        if is_due:
            self._searched = now
        return unsealed.full or self._has_more_planted(unsealed.planted)

    def _has_new_issuer(self) -> bool:
        """Whether this process has just started, and another issuer has signed the last checkpoint."""
        return self._searched is None and self._checkpoint is not None and self._checkpoint.issuer != self._issuer

    def _read(self, work: Callable[[Tx], T]) -> T:
        pause()
        return self._database.read(work)

    def _refuse_if_genuine(self, planted: Sequence[tuple[int, int]], now: datetime) -> None:
        """Raise `LogBroken` if these seals may be genuine, because somebody may have deleted their checkpoints.

        To delete genuine seals would delete evidence. A server writes seals and their checkpoint in one transaction,
        and leaves no gap after the last seal. So raw SQL inserted the seals if there is a gap, or if this process
        read the end of the log just before.
        """
        if not self._checkpoint:
            raise LogBroken("The log has seals, but no checkpoint.")
        saw_end = self._passed is not None and abs(now - self._passed) < LATE
        if not saw_end and any(place == self._tree.size for place, _ in planted):
            raise LogBroken(
                "The log has seals after its last checkpoint: somebody may have deleted the checkpoints of these seals."
            )

    def _has_more_planted(self, planted: Sequence[tuple[int, int]]) -> bool:
        """Log which seals this pass has found and deleted. Return whether there may be more of them.

        The attack: a rule of PostgreSQL prevents the deletion, so that each pass finds the same seals.
        """
        are_new, self._planted = bool(planted) and planted != self._planted, planted
        if are_new:
            log.error(
                "seals that no checkpoint covers are deleted: authsec audit verify",
                seals=len(planted),
                events=[number for _, number in planted[:MOST_NAMED]],
            )
        return are_new and len(planted) > MOST_NAMED

    def _mend_sequence(self, numbers: Numbers) -> None:
        """Correct the sequence of event numbers. If a lock or a missing permission prevents this, only log an error."""
        for mend in (end_cache, partial(mend_sequence, numbers=numbers)):
            try:
                self._database.append(lambda tx, mend=mend: mend(tx.connection))  # type: ignore[misc] # mypy does not infer it
            except (Unavailable, DBAPIError) as error:
                log.error("the sequence of event numbers could not be set", error=type(error).__name__)

    def _warn(self, now: datetime, why: str) -> None:
        """Log an error if no server has sealed for a long time. The error is repeated only once in a while."""
        self._kept_out = self._kept_out or now
        if now - self._kept_out >= SETTLING:
            self._kept_out = now
            log.error("the audit log is not sealed", why=why)

    def _since(self, now: datetime) -> datetime:
        """Return the time from which a full pass reads events again: a while before the last full pass."""
        return max(self._searched - LATE, now - 2 * SETTLING) if self._searched else now - 2 * SETTLING

    def _name(self, refused: Sequence[int]) -> None:
        """Log the number of each event that gets no seal. Each number is logged once."""
        if len(self._named) >= CATCHING_UP:
            self._named.clear()
        for number in [each for each in refused if each not in self._named][:MOST_NAMED]:
            log.error(
                "an event is not sealed, because of its form, its number or a moved seal: authsec audit verify",
                number=number,
            )
            self._named.add(number)

    def is_clock_wrong(self) -> bool:
        """Whether the sealer seals nothing, because this server's clock differs from PostgreSQL's clock."""
        before = self._now()
        _, database = self._read(lambda tx: store.last_signed_and_time(tx.connection))
        return database is not None and self._pass_time(before, self._now(), database) is None

    def reset(self) -> None:
        """Forget the log that this process read, because an older database was restored and the restore recorded."""
        self._tree, self._checkpoint, self._top, self._searched, self._passed = Tree(), None, 0, None, None
        self._history, self._searching = NumberHistory(), False
        self._forget_order()

    def key(self) -> PrivateKey:
        """Return the current signing key. Raises `Unavailable` or `LogBroken`."""
        self._catch_up(self._read(lambda tx: store.last_signed(tx.connection)))
        return self._present_key()

    def _present_key(self) -> PrivateKey:
        self._read_records(self._checkpoint.size if self._checkpoint else 0)
        key = self._signing_key(self._order.present(self._checkpoint.kid if self._checkpoint else ""))
        self._order = replace(self._order, keys={**self._order.keys, key.public.thumbprint(): key.public})
        return key

    def _read_records(self, size: int) -> None:
        """Read the records of replaced keys in the first `size` leaves. Each leaf is read only once.

        The attack: raw SQL inserts very many events of replaced keys, which would slow down each pass.
        """
        if size <= self._looked_through:
            return
        self._order = self._read(partial(_order_after, self._order, low=self._looked_through, high=size))
        self._looked_through = size

    def _forget_order(self) -> None:
        """Forget the order of the keys, to read the records again. Raw SQL may have changed a record for a moment."""
        self._order, self._looked_through = Succession(keys={}), 0

    def _sign(self, unsealed: UnsealedEvents, through: int, now: datetime, key: PrivateKey) -> bool:
        """Append the events with a new checkpoint. Return whether they were written."""
        pause()
        tree, added = appended(self._tree, unsealed.events)
        now = (
            max(now, self._checkpoint.at) if self._checkpoint else now
        )  # the times of checkpoints never decrease, although clocks may go back
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
        kept = self._database.append(lambda tx: append(tx, unsealed, added, ranges, checkpoint))
        if kept:
            replaces = any(event.kind == EventKind.SEAL_KEY_REPLACED for event in unsealed.events)
            if self._looked_through == self._tree.size and not replaces:
                self._looked_through = tree.size  # without a read: none of these leaves replaces a key
            self._remember(tree, checkpoint)
        return kept

    def _catch_up(self, signed: str | None) -> None:
        """Read the leaves up to the last checkpoint, and verify that their root hash is the checkpoint's.

        `signed` is the checkpoint's text. Raises `LogBroken`.
        """
        if signed is None:
            if self._checkpoint:
                raise LogBroken("The log's checkpoints are missing.")
            return
        if self._checkpoint and signed == self._checkpoint.signed:
            return
        checkpoint = self._read_checkpoint(signed)
        tree = self._read_on(checkpoint.size)
        if tree.root.hex() != checkpoint.root:
            raise LogBroken("The log's last checkpoint does not match the seals before it: its root hash differs.")
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
            found = self._read(partial(_hashes, after=tree.size - 1, limit=limit))
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


def _before_a_pass(tx: Tx) -> tuple[tuple[str | None, datetime | None], int | None]:
    return store.last_signed_and_time(tx.connection), ended_number(tx.connection)


def _covered_without_seal(tx: Tx, *, through: int, since: datetime, named: int) -> list[int]:
    """Return the numbers of new events without a seal that the checkpoint covers. Raw SQL gave these numbers again."""
    return store.without_seal(tx.connection, through=through, since=since, limit=MOST_NAMED + named)


def _order_after(order: Succession, tx: Tx, *, low: int, high: int) -> Succession:
    return store.succession_in(tx.connection, order.keys, order.ends, order.after, low=low, high=high)


def _hashes(tx: Tx, *, after: int, limit: int) -> list[bytes]:
    return store.hashes(tx.connection, after=after, limit=limit)
