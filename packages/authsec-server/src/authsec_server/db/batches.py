"""Run the work of many callers in one transaction, so that they share its statements and its commit.

While one transaction is committed, the items of other callers wait. The next transaction takes the items that came
first.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from authsec_server.db.database import Database, T, Tx
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable
from authsec_server.metrics.catalogue import BATCHES

AT_MOST = 32  # items of one transaction, because a revocation waits for its lock
START_SECONDS = 7.0  # for the transactions before, and for the lock
END_SECONDS = 30.0  # for a transaction that has begun
LONG_SECONDS = 2.0  # if a longer transaction fails, the waiting items fail as well

Item = TypeVar("Item")
Result = TypeVar("Result")
BatchWork = Callable[[Tx, Sequence[Item]], Sequence["Result | Exception"]]
"""Does the work for some items in one transaction. Returns a result or an exception for each item, in the order of the
items. The transaction may be rolled back, and the work repeated with other items. So any effect outside the
transaction must be safe to repeat."""


class _Waiting(ABC, Generic[Item]):
    """An item, and the caller who waits for its result."""

    def __init__(self, item: Item) -> None:
        self.item = item

    @abstractmethod
    def begin(self) -> bool:
        """Note that the work begins. Return whether the caller still waits for the result."""


class _Thread(_Waiting[Item]):
    """The caller is a thread, which waits for `future`."""

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.future: Future[Any] = Future()

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def settle(self, result: Any) -> None:
        """Give the caller the result or the exception."""
        if isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class _Task(_Waiting[Item]):
    """The caller is a task of an event loop, which awaits `future`."""

    def __init__(self, item: Item, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(item)
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._timer = loop.call_later(START_SECONDS, self._expire)
        self._deciding = threading.Lock()
        self._has_begun = False

    def begin(self) -> bool:
        return self._is_first() and not self.future.cancelled()

    def settle(self, result: Any) -> None:
        """Give the caller the result or the exception. Call this in the loop's thread."""
        self._timer.cancel()
        if self.future.done():  # the caller was cancelled, or already got an error
            return
        if isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)

    def _expire(self) -> None:
        if self._is_first():
            self.settle(too_many_waiting())
        else:
            self._timer = self.loop.call_later(END_SECONDS, self.settle, no_answer())

    def _is_first(self) -> bool:
        """Whether neither the work had begun nor the caller had given up before this call."""
        with self._deciding:
            was_first, self._has_begun = not self._has_begun, True
        return was_first


class Batches(Generic[Item, Result]):
    """One thread that takes the items of all callers. The first item starts the thread.

    The work runs in `record` transactions, or in `read` transactions if it only `reads`.
    """

    def __init__(
        self, database: Database, work: BatchWork[Item, Result], *, reads: bool = False, at_most: int = AT_MOST
    ) -> None:
        self._database = database
        self._reads = reads
        self._work = work
        self._size = BATCHES.of("read" if reads else "record")
        self._at_most = at_most
        self._queue: queue.SimpleQueue[_Waiting[Item] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Waiting[Item]]] = {}  # by event loop

    def run(self, item: Item) -> Result:
        """Queue the item, and wait until its transaction is durable. Returns the work's result for the item.

        Raises `Unavailable`, or the exception that the work returns.
        """
        waiting = _Thread(item)
        self._put(waiting)
        if not has_ended(waiting.future, START_SECONDS) and waiting.future.cancel():
            raise too_many_waiting()
        if not has_ended(waiting.future, END_SECONDS):
            raise no_answer()
        result: Result = waiting.future.result()
        return result

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue the item. Return a future of the running event loop, with the result or the exception of `run`."""
        self._start()
        loop = asyncio.get_running_loop()
        waiting = _Task(item, loop)
        gathered = self._gathered.setdefault(loop, [])
        gathered.append(waiting)
        if len(gathered) == 1:
            loop.call_soon(self._put_gathered, loop)
        return waiting.future

    def _put_gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        """Queue the items of one turn of the loop together. Otherwise the first item would get its own transaction."""
        for waiting in self._gathered.pop(loop, ()):
            self._queue.put(waiting)

    def close(self) -> None:
        """Finish the queued items, then end the thread. The wait is limited."""
        with self._starting:
            self._closed = True
            for loop in [*self._gathered]:
                self._put_gathered(loop)
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join(START_SECONDS)

    def _put(self, waiting: _Waiting[Item]) -> None:
        self._start()
        self._queue.put(waiting)

    def _start(self) -> None:
        if self._thread is not None and not self._closed:
            return
        with self._starting:
            if self._closed:
                raise Unavailable("The database is closed.")
            if self._thread is None:
                thread = threading.Thread(target=self._loop, name="authsec-batches", daemon=True)
                thread.start()
                self._thread = thread

    def _loop(self) -> None:
        while (batch := next_batch(self._queue, self._at_most)) is not None:
            begun = [each for each in batch if each.begin()]
            if begun:
                self._size.add(len(begun))
                self._do(begun)

    def _do(self, batch: Sequence[_Waiting[Item]]) -> None:
        """Run the work for these items, and give each caller its result or an error."""
        began = monotonic()
        try:
            results = self._results([each.item for each in batch], began)
        except BaseException as error:  # noqa: BLE001 - this thread must go on, and nobody may wait for ever
            results = [_told(error) for _ in batch]
        _settle(batch, results)
        if monotonic() - began >= LONG_SECONDS and all(isinstance(each, Unavailable) for each in results):
            self._fail_waiting(results[0])

    def _results(self, items: Sequence[Item], began: float) -> Sequence[Any]:
        try:
            run = self._database.read if self._reads else self._database.record
            results = run(lambda tx: self._work(tx, items))
            if len(results) != len(items):
                raise RuntimeError(f"the work has {len(results)} results for {len(items)} items")
            return results
        except Exception as error:  # noqa: BLE001 - each caller gets it
            if len(items) == 1:
                return [error]
            if not _may_be_of_one_item(error):
                return [_told(error) for _ in items]
        alone: list[Any] = []
        for item in items:  # the error of one item must not fail the others
            is_late = monotonic() - began >= START_SECONDS
            alone += [too_many_waiting()] if is_late else self._results([item], began)
        return alone

    def _fail_waiting(self, failure: Any) -> None:
        """Fail the items that waited for the end of a long transaction. Their own transaction would take as long."""
        if isinstance(failure, OutcomeUnknown):  # the waiting items have not begun
            failure = Unavailable(failure.message, fault=failure.fault)
        waiting = []
        for _ in range(self._queue.qsize()):
            with suppress(queue.Empty):
                each = self._queue.get_nowait()
                if each is None:
                    self._queue.put(None)
                    break
                waiting.append(each)
        begun = [each for each in waiting if each.begin()]
        _settle(begun, [_told(failure) for _ in begun])


def too_many_waiting() -> Unavailable:
    """Return the failure for an item that did not begin in time."""
    return Unavailable("Too many writes are waiting.", fault=Fault.BUSY)


def no_answer() -> OutcomeUnknown:
    """Return the failure for an item of a transaction that has begun and does not end."""
    return OutcomeUnknown("The database did not answer.")


def _may_be_of_one_item(error: Exception) -> bool:
    """Whether the error may come from the values of one item. An error of the database itself concerns all."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError)
    return not isinstance(error, Unavailable)


def _settle(batch: Sequence[_Waiting[Any]], results: Sequence[Any]) -> None:
    """Give each caller its result. Each event loop is woken once."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[_Task[Any], Any]]] = defaultdict(list)
    for waiting, result in zip(batch, results, strict=True):
        if isinstance(waiting, _Task):
            of_loops[waiting.loop].append((waiting, result))
        elif isinstance(waiting, _Thread):
            waiting.settle(result)
    for loop, pairs in of_loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle_in_loop, pairs)


def _settle_in_loop(pairs: Sequence[tuple[_Task[Any], Any]]) -> None:
    for waiting, result in pairs:
        with suppress(InvalidStateError, asyncio.InvalidStateError):
            waiting.settle(result)


def _told(error: BaseException) -> Exception:
    """Return a new exception for one caller: each caller raises its own in another thread."""
    told: Exception = RuntimeError("The transaction failed.")
    if isinstance(error, OutcomeUnknown):
        told = OutcomeUnknown(error.message, fault=error.fault)
    elif isinstance(error, Unavailable):
        told = Unavailable(error.message, error.remedy, retry_after=error.retry_after, fault=error.fault)
    told.__cause__ = error
    return told


def next_batch(waiting: queue.SimpleQueue[T | None], at_most: int) -> list[T] | None:
    """Wait for an item, and return at most `at_most` items of the queue. A None ends the queue: then return None."""
    first = waiting.get()
    if first is None:
        return None
    batch = [first]
    while len(batch) < at_most and not waiting.empty():
        item = waiting.get()
        if item is None:
            waiting.put(None)  # the end comes after this batch
            break
        batch.append(item)
    return batch


def has_ended(future: Future[Any], seconds: float) -> bool:
    """Wait at most `seconds` for the result. Return whether there is a result or an exception."""
    try:
        future.exception(seconds)
    except TimeoutError:
        return False
    return True
