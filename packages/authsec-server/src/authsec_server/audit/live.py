"""The journal as it grows, for those who watch it: one reader a process, however many watch, and none when nobody does.

Whoever joins is given events that are read for them: an event in memory would outlive raw SQL that was put back.

On PostgreSQL numbers become visible out of order: a transaction that took one may commit after another that took a
higher one. So the reader goes on looking for the numbers that are missing, for as long as one can still come.
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
from authsec_server.audit.reading import numbers_fitting
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
    """One who watches: an async iterator of events, each once, nearly in order. It ends when the server does.

    It also ends, with `lagging` set, when events were lost to it: it took them too slowly, or began too far back.
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
        """Begin with what is recent. Events before the number `begin` may be left out. `highest`: of all there are."""
        self.joined = True
        if not begin - 1 <= self._after <= highest:
            self.fall_behind()
            return
        for recorded in recent:
            if recorded.id > self._after:
                self.give(recorded)

    def give(self, recorded: Recorded) -> None:
        """Hand over an event, or give up on this one who does not take them."""
        try:
            self._send.send_nowait(recorded)
        except anyio.WouldBlock:
            self.fall_behind()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # it has just gone, or fallen behind

    def fall_behind(self) -> None:
        """End it, and say that something is missing."""
        self.lagging = True
        self.end()

    def end(self) -> None:
        """End it, once it has taken what was handed over."""
        self._send.close()

    def close(self) -> None:
        """Let go of it."""
        self._send.close()
        self._receive.close()


class Tail:
    """The end of the journal: what was seen of it, and which numbers are missing and may still come."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        # Up to here nothing can come any more. Twice: a counted refusal is dated by its minute's beginning.
        self._floor = pages.last_before(tx.connection, now - 2 * LATE)
        self._top = next(iter(pages.newest_numbers(tx.connection, 1)), 0)
        self._seen = dict.fromkeys(pages.numbers_between(tx.connection, self._floor, self._top), now)

    def read(self, tx: Tx) -> list[Recorded] | None:
        """What has come since: the missing that came late, then what is new.

        None where the newest one is gone. The attack: a row with a very high number, there for a moment, would hide all
        that comes after it.
        """
        if self._top and not pages.by_ids(tx.connection, [self._top]):
            return None
        late: list[Recorded] = []
        if len(self._seen) < self._top - self._floor:
            numbers = pages.numbers_between(tx.connection, self._floor, self._top)
            late = pages.by_ids(tx.connection, numbers - self._seen.keys())
        return late + pages.above(tx.connection, self._top, BATCH)

    def read_recent(self, tx: Tx) -> tuple[list[Recorded], int, int]:
        """What is recent, and two numbers: events before the first may be left out, the other is the highest."""
        newest = pages.newest_numbers(tx.connection, RECENT)  # anew: one that was away before may be back
        told = [number for number in newest if number <= self._floor or number in self._seen]  # others are yet to come
        numbers = numbers_fitting(tx.connection, told)
        is_cut = len(newest) == RECENT or len(numbers) < len(told)
        return pages.by_ids(tx.connection, numbers), numbers[-1] if is_cut else 0, max([self._top, *newest[:1]])

    def accept(self, found: list[Recorded], now: datetime) -> None:
        """Remember these as seen, and forget what can no longer come twice."""
        numbers = [recorded.id for recorded in found]
        self._seen |= dict.fromkeys(numbers, now)
        self._top = max(self._seen, default=self._top)
        settled = [number for number, at in self._seen.items() if at < now - LATE]
        self._floor = max(settled, default=self._floor)
        self._seen = {number: at for number, at in self._seen.items() if number > self._floor}


class LiveJournal:
    """Tells watchers what the journal gets. `run` must be running for as long as the server does."""

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
        """Events above the number `after`, as far as they are recent, and all that come from now on.

        Late ones may have lower numbers. Raises `Unavailable` when too many watch, or the server is about to end.
        """
        if self._ending() or len(self._watchers) >= MAX_WATCHERS:
            raise Unavailable("The live journal has no room for one more.", "Reload the page to see what is new.")
        watcher = Watcher(after)
        self._watchers.add(watcher)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            watcher.close()

    async def run(self) -> None:
        """Read while somebody watches, until cancelled or `ending`; then every watcher has come to its end."""
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
                log.debug("the live journal waits for the database")
            except Exception as error:  # noqa: BLE001 - whatever it was, those who watch lose it, and nobody else
                log.warning("the live journal was interrupted", error=type(error).__name__)
                self._lose_all()
                return
            if not more:
                await anyio.sleep(POLL_SECONDS)

    async def _read_on(self, tail: Tail | None) -> tuple[Tail | None, bool]:
        """One look at the journal, and whether there is more to read at once. Without a tail, begin anew."""
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
