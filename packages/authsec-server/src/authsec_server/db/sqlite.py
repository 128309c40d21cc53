"""SQLite: readers from a pool, and one thread that does all of a process's writing.

SQLite has one writer at a time anyway; with a thread of our own the waiting ones share a commit (one fsync for all that
queued up meanwhile), each inside a savepoint of its own, so that one that fails takes nobody along. Between processes
`BEGIN IMMEDIATE` is the lock: it is taken before the first read, for `append` and `record` as for `change`.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from authsec_server.db import sqlite_files
from authsec_server.db.database import Access, Database, T, Work, open_tx
from authsec_server.db.migrate import upgrade
from authsec_server.failures import Unavailable

MAX_BATCH = 64
BUSY_MILLISECONDS = 5000


class SQLite(Database):
    """A SQLite file; other processes may hold the same file open."""

    dialect = "sqlite"

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = Path(make_url(url).database or "")
        self._serves = False
        self.lacks_wal = sqlite_files.lacks_wal(self._file)  # before the first connection makes such a file
        self._readers = _engine(url, begin="BEGIN", read_only=True, pool_size=8, max_overflow=0, pool_timeout=5)
        self._writer = _Writer(url)

    def _run(self, access: Access, work: Work[T]) -> T:
        if access is not Access.READ:
            return self._writer.run(access, work)
        try:
            with self._readers.begin() as connection:
                return work(open_tx(connection, access))
        except (OperationalError, PoolTimeout) as error:
            raise Unavailable("The database cannot be read.") from error

    def migrate(self) -> None:
        engine = _engine(self._url, begin="BEGIN IMMEDIATE", poolclass=NullPool)
        try:
            with engine.begin() as connection:
                upgrade(connection)
        except DatabaseError as error:  # a full disk, a locked file, a file that is something else
            raise Unavailable(f"The database file cannot be used: {error.orig}.", "Check the data folder.") from error
        finally:
            engine.dispose()

    def begin_serving(self) -> None:
        if not self.lacks_wal:
            self._serves = True
            with suppress(sqlite3.Error):  # a full disk: then a plain copy is not recognised, and nothing else
                sqlite_files.set_mark(self._file)

    def close(self) -> None:
        self._writer.close()
        self._readers.dispose()
        if not self.lacks_wal:  # else the next start must recognise it as well
            with suppress(sqlite3.Error):  # the next who closes it removes the mark
                sqlite_files.remove_mark(self._file, served=self._serves)


class _Job:
    """One unit of work on its way through the writer thread."""

    def __init__(self, access: Access, work: Work[Any]) -> None:
        self.access = access
        self.work = work
        self.future: Future[Any] = Future()
        self._result: Any = None
        self._error: BaseException | None = None

    def attempt(self, connection: Connection) -> None:
        """Run inside a savepoint. The database's own errors go on: they may have ended the whole transaction."""
        savepoint = connection.begin_nested()
        try:
            self._result = self.work(open_tx(connection, self.access))
        except OperationalError:
            raise
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asked
            savepoint.rollback()
            self._error = error
        else:
            savepoint.commit()

    def settle(self) -> None:
        """Answer the caller, once everything is durable."""
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)

    def fail(self, error: BaseException) -> None:
        """Answer the caller that nothing was committed."""
        failure = Unavailable("The database cannot be written.")
        failure.__cause__ = error
        self.future.set_exception(failure)


class _Writer:
    """The one thread that writes, started with the first write."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url, begin="BEGIN IMMEDIATE", pool_size=1, max_overflow=0)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, access: Access, work: Work[T]) -> T:
        """Hand over the work and wait until it is durable."""
        job = _Job(access, work)
        with self._starting:
            if self._closed:
                raise Unavailable("The database is closed.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="authsec-sqlite-writer", daemon=True)
                self._thread.start()
            self._queue.put(job)
        result: T = job.future.result()
        return result

    def close(self) -> None:
        """Commit what is queued, then end the thread."""
        with self._starting:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        self._engine.dispose()

    def _loop(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                with self._engine.begin() as connection:
                    for job in batch:
                        job.attempt(connection)
            except BaseException as error:  # noqa: BLE001 - a full disk, a lock held too long: everyone hears of it
                for job in batch:
                    job.fail(error)
            else:
                for job in batch:
                    job.settle()

    def _next_batch(self) -> list[_Job] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MAX_BATCH and not self._queue.empty():
            job = self._queue.get()
            if job is None:
                self._queue.put(None)  # the end comes after this batch
                break
            batch.append(job)
        return batch


def _engine(url: str, *, begin: str, read_only: bool = False, **pool: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False}, **pool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN comes too late to be a lock
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
