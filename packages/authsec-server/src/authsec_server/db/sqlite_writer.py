"""The one thread of a process that writes to a SQLite file. Waiting writes share one commit, and so one fsync.

Each write has its own savepoint, so a failed write does not affect the others.

If a process freezes while it has the lock, nothing can release the lock. A caller waits for `START_SECONDS`. A write
that has not begun by then is cancelled. So no write is made after its caller got an error.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from authsec_server.db.batches import has_ended, next_batch
from authsec_server.db.database import Access, T, Work, open_tx
from authsec_server.failures import Fault, OutcomeUnknown, Unavailable

MAX_BATCH = 64
START_SECONDS = 7.0  # for the work that was queued before, and for the lock
END_SECONDS = 30.0  # for work that has begun, and its commit: a disk may hang

FailureOf = Callable[[BaseException, str], "Unavailable | None"]
"""Converts an error into the failure to raise. The second argument is the verb of the attempt, for example "written".
Returns None for errors of other origin."""


def locked(more: str = "") -> Unavailable:
    remedy = "Retry shortly. If retries keep failing, a process that uses this file is frozen: end that process."
    return Unavailable("Another process has the write lock of the database file.", remedy + more, fault=Fault.LOCKED)


def primary_code(error: BaseException) -> int:
    """Return SQLite's primary result code; 0 for any other error."""
    return (getattr(getattr(error, "orig", error), "sqlite_errorcode", None) or 0) & 0xFF


class RolledBack(Exception):
    """Rolls a transaction back after its only job has failed. The job has the error."""


class _Job:
    """A unit of work in the writer thread's queue."""

    def __init__(self, access: Access, work: Work[Any]) -> None:
        self.access = access
        self.work = work
        self.future: Future[Any] = Future()
        self._begun = False
        self._result: Any = None
        self._error: BaseException | None = None

    def attempt(self, connection: Connection, failure: FailureOf, *, alone: bool) -> None:
        """Run the work, unless the work was cancelled. Raises `RolledBack` if the work failed and is `alone`.

        With other work in the transaction, the work runs inside a savepoint.
        A failure of the database itself is raised, because such a failure fails the whole batch.
        """
        if not self._begin():
            return
        savepoint = None if alone else connection.begin_nested()
        try:
            self._result = self.work(open_tx(connection, self.access))
        except BaseException as error:
            if isinstance(error, DatabaseError | UnicodeDecodeError) and failure(error, "written"):
                raise
            self._error = error  # for the thread that asked
            if savepoint is None:
                raise RolledBack from error
            savepoint.rollback()
        else:
            if savepoint is not None:
                savepoint.commit()

    def settle(self) -> None:
        """Return the result or the error to the waiting caller. The commit is durable by then."""
        if not self._begun:  # cancelled
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)

    def fail(self, failure: Unavailable) -> None:
        """Raise the failure in the waiting caller, unless the work was cancelled."""
        if self._begun or self._begin():
            self.future.set_exception(failure)

    def _begin(self) -> bool:
        self._begun = self.future.set_running_or_notify_cancel()
        return self._begun


class Writer:
    """The one thread that writes. The first write starts the thread.

    `before_commit` may raise `Unavailable`, which rolls the transaction back.
    """

    def __init__(self, engine: Engine, failure: FailureOf, *, before_commit: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self._failure = failure
        self._before_commit = before_commit
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._waits_for_lock = False
        self._connection: Connection | None = None

    def run(self, access: Access, work: Work[T]) -> T:
        """Queue the work and wait until its commit is durable."""
        job = _Job(access, work)
        with self._starting:
            if self._closed:
                raise Unavailable("The database is closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="authsec-sqlite-writer", daemon=True)
                self._thread.start()
            self._queue.put(job)
        if not has_ended(job.future, START_SECONDS) and job.future.cancel():
            raise locked() if self._waits_for_lock else Unavailable("Too many writes are waiting.", fault=Fault.BUSY)
        if not has_ended(job.future, END_SECONDS):
            raise OutcomeUnknown("The disk of the database file did not answer.")
        result: T = job.future.result()
        return result

    def has_stopped(self) -> bool:
        """Whether the thread has ended although nobody closed the database."""
        thread = self._thread
        return thread is not None and not self._closed and not thread.is_alive()

    def close(self) -> None:
        """Commit the queued work, then end the thread. The wait for a disk that hangs is limited."""
        with self._starting:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join(START_SECONDS)
            if self._thread.is_alive():
                return
        self.engine.dispose()

    def _loop(self) -> None:
        while (batch := next_batch(self._queue, MAX_BATCH)) is not None:
            committing = False
            self._waits_for_lock = True
            try:
                with self._opened().begin():
                    self._waits_for_lock = False
                    for job in batch:
                        job.attempt(self._opened(), self._failure, alone=len(batch) == 1)
                    self._before_commit()
                    committing = True
            except RolledBack:
                batch[0].settle()
            except BaseException as error:  # noqa: BLE001 - a full disk, a lock held too long: everyone hears of it
                self._close_connection()
                for job in batch:
                    job.fail(self._told(error, committing=committing))
            else:
                for job in batch:
                    job.settle()
        self._close_connection()

    def _opened(self) -> Connection:
        """Return the connection, which stays open until an error: opening it costs as much as a small transaction."""
        if self._connection is None:
            self._connection = self.engine.connect()
        return self._connection

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # in any case, the next transaction opens another connection
                connection.close()

    def _told(self, error: BaseException, *, committing: bool) -> Unavailable:
        """Return a new exception for one caller, because each caller raises it in another thread."""
        failure = self._failure(error, "written") or Unavailable("The database cannot be written.")
        if isinstance(error, Unavailable):  # another file is at the path
            failure = Unavailable(error.message, error.remedy, retry_after=error.retry_after, fault=error.fault)
        if committing and primary_code(error) == sqlite3.SQLITE_IOERR:  # perhaps everything was written, but not synced
            failure = OutcomeUnknown("The disk failed during the commit.")
        failure.__cause__ = error
        return failure
