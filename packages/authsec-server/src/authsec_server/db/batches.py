"""Run the work of many callers in one `record` transaction, so that they share its statements and its commit.

While one transaction is committed, the items of other callers wait. The next transaction takes all of them.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from typing import Any, Generic, TypeVar

from authsec_server.db.database import Database, Tx
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable

AT_MOST = 128  # items of one transaction
START_SECONDS = 7.0  # for the transactions before, and for the lock
END_SECONDS = 30.0  # for a transaction that has begun

Item = TypeVar("Item")
Result = TypeVar("Result")
BatchWork = Callable[[Tx, Sequence[Item]], Sequence["Result | Exception"]]
"""Does the work for some items in one transaction. Returns for each item, in their order, its result or the exception
for its caller. The transaction may be rolled back, and the work repeated with other items: so the work must have no
effect outside the transaction that may not happen twice."""


class _Waiting(ABC, Generic[Item]):
    """An item, and the caller who waits for its result."""

    def __init__(self, item: Item) -> None:
        self.item = item

    @abstractmethod
    def begin(self) -> bool:
        """Whether the caller still waits. From now on the caller gets the result of the transaction."""


class _Thread(_Waiting[Item]):
    """The caller is a thread, which waits for `future`."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.future: Future[Any] = Future()

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()


class _Task(_Waiting[Item]):
    """The caller is a task of an event loop, which awaits `future`."""

    def __init__(self, item: Item, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(item)
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._timer = loop.call_later(START_SECONDS, self._expire)
        self._deciding = threading.Lock()
        self._over = False

    def begin(self) -> bool:
        return self._first() and not self.future.cancelled()

    def settle(self, result: Any) -> None:
        """Give the caller the result or the exception. To be called in the loop's thread."""
        self._timer.cancel()
        if self.future.done():  # the caller's connection was closed
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)

    def _expire(self) -> None:
        if self._first():
            self.settle(too_many_waiting())

    def _first(self) -> bool:
        """Whether nobody has begun or given up yet."""
        with self._deciding:
            was_over, self._over = self._over, True
        return not was_over


class Batches(Generic[Item, Result]):
    """One thread that takes the items of all callers. The first item starts the thread."""

    def __init__(self, database: Database, work: BatchWork[Item, Result], *, at_most: int = AT_MOST) -> None:
        self._database = database
        self._work = work
        self._at_most = at_most
        self._queue: queue.SimpleQueue[_Waiting[Item] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, item: Item) -> Result:
        """Queue the item, and wait until its transaction is durable. Returns what the work returns for the item.

        Raises `Unavailable`, or the exception that the work returns.
        """
        waiting = _Thread(item)
        self._put(waiting)
        if not _ended(waiting.future, START_SECONDS) and waiting.future.cancel():
            raise too_many_waiting()
        if not _ended(waiting.future, END_SECONDS):
            raise OutcomeUnknown("The database did not answer.")
        result: Result = waiting.future.result()
        return result

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue the item. The future, of the running event loop, has what `run` would return or raise."""
        waiting = _Task(item, asyncio.get_running_loop())
        self._put(waiting)
        return waiting.future

    def close(self) -> None:
        """Finish the queued items, then end the thread. The wait is limited."""
        with self._starting:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join(START_SECONDS)

    def _put(self, waiting: _Waiting[Item]) -> None:
        if self._thread is None or self._closed:
            self._start()
        self._queue.put(waiting)

    def _start(self) -> None:
        with self._starting:
            if self._closed:
                raise Unavailable("The database is closed.")
            if self._thread is None:
                thread = threading.Thread(target=self._loop, name="authsec-batches", daemon=True)
                thread.start()
                self._thread = thread

    def _loop(self) -> None:
        while (batch := self._next()) is not None:
            begun = [each for each in batch if each.begin()]
            if begun:
                _settle(begun, self._results(begun))

    def _results(self, batch: Sequence[_Waiting[Item]]) -> Sequence[Result | Exception]:
        items = [each.item for each in batch]
        try:
            results = self._database.record(lambda tx: self._work(tx, items))
            if len(results) != len(items):
                raise RuntimeError(f"the work has {len(results)} results for {len(items)} items")
            return results
        except Unavailable as failure:
            return [_copied(failure) for _ in batch]
        except Exception as error:  # noqa: BLE001 - the fault of one item must not be that of the others
            if len(batch) == 1:
                return [error]
            return [self._results([each])[0] for each in batch]

    def _next(self) -> list[_Waiting[Item]] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._at_most and not self._queue.empty():
            waiting = self._queue.get()
            if waiting is None:
                self._queue.put(None)  # the end comes after this batch
                break
            batch.append(waiting)
        return batch


def too_many_waiting() -> Unavailable:
    """Return the failure for a caller whose item did not begin in time."""
    return Unavailable("Too many writes are waiting.", fault=Fault.BUSY)


def _settle(batch: Sequence[_Waiting[Any]], results: Sequence[Any]) -> None:
    """Give each caller its result. Each event loop is woken once."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[_Task[Any], Any]]] = defaultdict(list)
    for waiting, result in zip(batch, results, strict=True):
        if isinstance(waiting, _Task):
            of_loops[waiting.loop].append((waiting, result))
        elif isinstance(waiting, _Thread):
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
    for loop, pairs in of_loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle_in_loop, pairs)


def _settle_in_loop(pairs: Sequence[tuple[_Task[Any], Any]]) -> None:
    for waiting, result in pairs:
        waiting.settle(result)


def _copied(failure: Unavailable) -> Unavailable:
    """Return a new exception for one caller: each caller raises its own in another thread."""
    copied = copy(failure)
    copied.__cause__ = failure
    return copied


def _ended(future: Future[Any], seconds: float) -> bool:
    try:
        future.exception(seconds)
    except TimeoutError:
        return False
    return True
