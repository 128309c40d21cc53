"""The live audit log for watchers. One reader per process serves all watchers, and stops if nobody watches.

A new watcher gets freshly read events: a forged event kept in memory would outlive the raw SQL that undid it.

On PostgreSQL event numbers become visible out of order.
A transaction may commit after another transaction that took a higher number.
So the reader keeps looking for missing numbers as long as they can still appear.
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
LATE = timedelta(seconds=60)  # an event appears at most so long after it was dated, and after one of a higher number
BATCH = 500
RECENT = 500  # events for those who join
MAX_WAITING = 2 * RECENT  # events that a watcher has not taken yet
MAX_WATCHERS = 64


class Watcher:
    """One watcher: an async iterator of events, each once, nearly in order. It ends when the server stops.

    The iterator also ends, with `lagging` set, if the watcher missed events.
    The watcher then read too slowly or began too far back.
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
        """Start with the recent events.

        Events before the number `begin` may be missing from `recent`. `highest` is the highest event number.
        """
        self.joined = True
        if not begin - 1 <= self._after <= highest:
            self.fall_behind()
            return
        for recorded in recent:
            if recorded.id > self._after:
                self.give(recorded)

    def give(self, recorded: Recorded) -> None:
        """Pass an event to the watcher; drop a watcher that reads too slowly."""
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
        """Close both ends of the stream."""
        self._send.close()
        self._receive.close()


class Tail:
    """The end of the audit log: the event numbers seen, and the missing ones that may still appear."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        # Up to here nothing can come any more. Twice: a counted refusal is dated by its minute's beginning.
        self._floor = pages.last_before(tx.connection, now - 2 * LATE)
        self._top = next(iter(pages.newest_numbers(tx.connection, 1)), 0)
        self._seen = dict.fromkeys(pages.numbers_between(tx.connection, self._floor, self._top), now)

    def read(self, tx: Tx) -> list[Recorded] | None:
        """Return the events that appeared since the last read: first the late ones, then the new ones.

        Returns None if the newest event is gone.
        The attack: a row with a very high number, inserted for a moment, would hide all later events.
        """
        if self._top and not pages.by_ids(tx.connection, [self._top]):
            return None
        late: list[Recorded] = []
        if len(self._seen) < self._top - self._floor:
            numbers = pages.numbers_between(tx.connection, self._floor, self._top)
            late = pages.by_ids(tx.connection, numbers - self._seen.keys())
        return late + pages.above(tx.connection, self._top, BATCH)

    def read_recent(self, tx: Tx) -> tuple[list[Recorded], int, int]:
        """Return the recent events, the lowest number that they cover, and the highest event number."""
        newest = pages.newest_numbers(tx.connection, RECENT)  # anew: one that was away before may be back
        told = [number for number in newest if number <= self._floor or number in self._seen]  # others are yet to come
        numbers = numbers_fitting(tx.connection, told)
        is_cut = len(newest) == RECENT or len(numbers) < len(told)
        return pages.by_ids(tx.connection, numbers), numbers[-1] if is_cut else 0, max([self._top, *newest[:1]])

    def accept(self, found: list[Recorded], now: datetime) -> None:
        """Mark these events as seen, and forget numbers that can no longer appear twice."""
        numbers = [recorded.id for recorded in found]
        self._seen |= dict.fromkeys(numbers, now)
        self._top = max(self._seen, default=self._top)
        settled = [number for number, at in self._seen.items() if at < now - LATE]
        self._floor = max(settled, default=self._floor)
        self._seen = {number: at for number, at in self._seen.items() if number > self._floor}


class LiveAuditLog:
    """Sends new events to watchers. `run` must run as long as the server does."""

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

        A late event may have a lower number.
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
        """Read events while there are watchers, until cancelled or `ending`; then end every watcher."""
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
        """Read the audit log once; return the tail and whether more can be read at once.

        Without a tail, start with a new one.
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
