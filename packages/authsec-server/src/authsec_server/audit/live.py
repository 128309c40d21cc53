"""The live audit log for watchers. One reader in each process serves all watchers.

The reader stops if there are no watchers.
For each new watcher, the recent events are read from the database again.
Otherwise a forged event could stay in memory after raw SQL has removed it from the database.

On PostgreSQL, event numbers can become visible out of order.
A transaction may commit after another transaction that took a higher number.
So the reader looks for missing numbers as long as their events can still appear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Self

import anyio
import structlog

from authsec_server.audit import pages
from authsec_server.audit.model import Recorded
from authsec_server.audit.unreadable_rows import numbers_fitting
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.75
LATE = timedelta(seconds=60)  # an event becomes visible at most this long after its date, and after a higher number
BATCH = 500
RECENT = 500  # events for each new watcher
MOST_OPEN = 50_000  # at the start, only this many numbers below the highest one are checked
MAX_WAITING = 2 * RECENT  # events that a watcher has not taken yet
MAX_WATCHERS = 64


class Watcher:
    """An async iterator of new events. It yields each event once, nearly in order, and ends when the server stops.

    The iterator also ends if the watcher missed events. `lagging` is then true.
    A watcher misses events if it reads too slowly, or if its first number is too low or too high.
    """

    def __init__(self, after: int) -> None:
        self.lagging = False
        self.joined = False
        self._after = after
        self._send, self._receive = anyio.create_memory_object_stream[Recorded](MAX_WAITING)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Recorded:
        return await self._receive.__anext__()

    def join(self, recent: Sequence[Recorded], begin: int, highest: int) -> None:
        """Start the watcher with the recent events.

        `recent` contains all events from the number `begin` on. `highest` is the highest event number.
        """
        self.joined = True
        if not begin - 1 <= self._after <= highest:
            self.fall_behind()
            return
        for recorded in recent:
            if recorded.id > self._after:
                self.give(recorded)

    def give(self, recorded: Recorded) -> None:
        """Queue an event for the watcher. If the queue is full, end the watcher as `lagging`."""
        try:
            self._send.send_nowait(recorded)
        except anyio.WouldBlock:
            self.fall_behind()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # it has just gone, or fallen behind

    def fall_behind(self) -> None:
        """End the iterator and mark it as `lagging`."""
        self.lagging = True
        self.end()

    def end(self) -> None:
        """End the iterator after the events that are already queued."""
        self._send.close()

    def close(self) -> None:
        """Close the sending end and the receiving end of the watcher's queue."""
        self._send.close()
        self._receive.close()


class Tail:
    """The newest part of the audit log: which event numbers were read, and which lower numbers may still appear."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        self._top = next(iter(pages.newest_numbers(tx.connection, 1)), 0)
        # No event with an earlier date can still appear. Twice: a counted refusal is dated at the start of its minute.
        settled = pages.highest_before(tx.connection, now - 2 * LATE)
        self._floor = max(settled, self._top - MOST_OPEN)
        self._seen = dict.fromkeys(pages.numbers_between(tx.connection, self._floor, self._top), now)

    def read(self, tx: Tx) -> list[Recorded] | None:
        """Return the events that appeared since the last read: first late events with lower numbers, then new events.

        Return None if the event with the highest number no longer exists.
        The attack: raw SQL inserts a row with a very high number for a moment, which would hide all later events.
        """
        if self._top and not pages.by_ids(tx.connection, [self._top]):
            return None
        late: list[Recorded] = []
        if len(self._seen) < self._top - self._floor:
            numbers = pages.numbers_between(tx.connection, self._floor, self._top)
            late = pages.by_ids(tx.connection, numbers - self._seen.keys())
        return late + pages.above(tx.connection, self._top, BATCH)

    def read_recent(self, tx: Tx) -> tuple[list[Recorded], int, int]:
        """Return the recent events, the number from which they are complete, and the highest event number."""
        newest = pages.newest_numbers(tx.connection, RECENT)  # anew: one that was away before may be back
        told = [number for number in newest if number <= self._floor or number in self._seen]  # others are yet to come
        numbers = numbers_fitting(tx.connection, told)
        is_cut = len(newest) == RECENT or len(numbers) < len(told)
        return pages.by_ids(tx.connection, numbers), numbers[-1] if is_cut else 0, max([self._top, *newest[:1]])

    def accept(self, found: list[Recorded], now: datetime) -> None:
        """Mark these events as read. Forget old numbers if no event with a lower number can still appear."""
        numbers = [recorded.id for recorded in found]
        self._seen |= dict.fromkeys(numbers, now)
        self._top = max(self._seen, default=self._top)
        settled = [number for number, at in self._seen.items() if at < now - LATE]
        self._floor = max(settled, default=self._floor)
        self._seen = {number: at for number, at in self._seen.items() if number > self._floor}


class LiveAuditLog:
    """Sends new events to watchers. The task `run` must run as long as the server runs."""

    def __init__(
        self, database: Database, *, now: Callable[[], datetime], ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._database = database
        self._now = now
        self._ending = ending
        self._watchers: set[Watcher] = set()
        self._wanted = anyio.Event()

    @contextmanager
    def watch(self, *, after: int) -> Iterator[Watcher]:
        """Return a watcher for recent events above the number `after` and for all new events.

        A new event may have a number below `after` if its transaction committed late.
        Raises `Unavailable` if too many watchers are connected or the server is about to stop.
        """
        if self._ending() or len(self._watchers) >= MAX_WATCHERS:
            raise Unavailable("The live audit log has too many readers.", "Reload the page to see new events.")
        watcher = Watcher(after)
        self._watchers.add(watcher)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            watcher.close()

    async def run(self) -> None:
        """Read events while there are watchers. Stop when cancelled, or when `ending` returns true.

        At the end, end every watcher.
        """
        try:
            while not self._ending():
                await self._wanted.wait()
                await self._follow()
                self._wanted = anyio.Event()
        finally:
            for watcher in self._watchers:
                watcher.end()

    async def _follow(self) -> None:
        tail: Tail | None = None
        while self._watchers and not self._ending():
            more = False
            try:
                tail, more = await self._read_on(tail)
            except Unavailable:
                log.debug("the live audit log is waiting for the database")
            except Exception as error:  # noqa: BLE001 - whatever it was, those who watch lose it, and nobody else
                log.warning("the live audit log was interrupted", error=type(error).__name__)
                self._lose_all()
                return
            if not more:
                await anyio.sleep(POLL_SECONDS)

    async def _read_on(self, tail: Tail | None) -> tuple[Tail | None, bool]:
        """Read the audit log once. Return the tail, and whether the next read should follow without a pause.

        If `tail` is None, create a new tail.
        """
        now = self._now()
        if tail is None:
            tail = await anyio.to_thread.run_sync(self._database.read, lambda tx: Tail(tx, now))
            found: list[Recorded] | None = []
        else:
            found = await anyio.to_thread.run_sync(self._database.read, tail.read)
        if found is None:
            self._lose_all()
            return None, True
        tail.accept(found, now)
        following = [each for each in self._watchers if not each.lagging]
        for watcher in following:
            for recorded in found if watcher.joined else ():
                watcher.give(recorded)
        if joining := [each for each in following if not each.joined]:
            recent, begin, highest = await anyio.to_thread.run_sync(self._database.read, tail.read_recent)
            for watcher in joining:
                watcher.join(recent, begin, highest)
        return tail, len(found) >= BATCH

    def _lose_all(self) -> None:
        for watcher in self._watchers:
            watcher.fall_behind()
        self._watchers.clear()
