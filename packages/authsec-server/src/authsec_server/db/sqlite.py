"""SQLite: readers use a pool, and one thread per process does all writes (`sqlite_writer`).

SQLite allows only one writer at a time. Between processes, `BEGIN IMMEDIATE` is the lock. The writer takes this
lock before the first read, for `append` and `record` as well as for `change`.
"""

from __future__ import annotations

import shlex
import sqlite3
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, cast

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from authsec_server.db import sqlite_files
from authsec_server.db.database import READING, Access, Database, T, Work, open_tx
from authsec_server.db.interference import compare_schema, forget_schema, refuse_foreign_schema, refuse_rewritten
from authsec_server.db.migrate import is_older, newest_revision, refused_upgrade, revision_of, upgrade
from authsec_server.db.recent_changes import RecentChanges
from authsec_server.db.sqlite_leftovers import refuse_leftovers
from authsec_server.db.sqlite_open_files import Identity, identity, open_files, opened_others
from authsec_server.db.sqlite_overwritten import REASON, ServedFile, refuse_overwritten
from authsec_server.db.sqlite_reading import limit_cache
from authsec_server.db.sqlite_upgrade import back_up
from authsec_server.db.sqlite_writer import Writer, locked, primary_code
from authsec_server.db.table_changes import TableChanges
from authsec_server.failures import Fault, Unavailable
from authsec_server.private_files import make_private

log = structlog.get_logger(__name__)

BUSY_MILLISECONDS = 5000
_PAUSES = (0.0, 0.01, 0.05)  # seconds: SQLite deletes the log just before it closes the last connection
RELOAD_SECONDS = 5.0  # between two reloads of a connection's schema and cached pages
_OPENINGS = 10  # attempts; another thread may open its own file meanwhile
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_NO_UTF_8 = "the file has a text that is not UTF-8"

_Opened = Callable[[Sequence[Any], Mapping[str, Any], Callable[[Any], None]], Any]


class SQLite(Database):
    """A SQLite file. Other processes may have the same file open."""

    dialect = "sqlite"
    upgrades_at_start = True

    def __init__(self, url: str) -> None:
        self._url = url
        self.recent_changes = RecentChanges()
        self._file = Path(make_url(url).database or "")
        self._files = tuple(Path(f"{self._file}{suffix}") for suffix in ("", "-wal", "-shm"))
        self._serves = False
        self._closed = False
        self._served_file: ServedFile | None = None
        self._has_own_log = False  # whether `_refuse_leftovers` found no foreign file
        self._identities: dict[Path, Identity] = {}  # the identities of the open files
        self._opening = threading.Lock()
        self._noting = threading.RLock()  # to note damage
        self.lacks_wal = sqlite_files.lacks_wal(self._file)  # before the first connection makes such a file
        self._readers = _engine(url, "BEGIN", self._open, read_only=True, pool_size=8, max_overflow=0, pool_timeout=5)
        # One connection for the writer's thread, and one for a moment to set the mark.
        self._writer = Writer(
            _engine(url, "BEGIN IMMEDIATE", self._open, pool_size=1, max_overflow=1),
            self._failure,
            before_commit=self._refuse_overwritten,
        )

    def _run(self, access: Access, work: Work[T]) -> T:
        if self.damaged:
            raise _damaged()
        self._refuse_leftovers()
        self._refuse_replaced()
        if access not in READING:
            return self._writer.run(access, work)
        try:
            return self._read(access, work)
        except PoolTimeout as error:
            raise Unavailable("Too many requests read the database file at the same time.", fault=Fault.BUSY) from error
        except (DatabaseError, UnicodeDecodeError) as error:
            raise self._failure(error, "read") or error from error

    def _read(self, access: Access, work: Work[T]) -> T:
        try:
            with self._readers.begin() as connection:
                return work(open_tx(connection, access))
        finally:
            if self._closed:  # the read was under way: else its connection would stay open
                self._readers.pool.dispose()

    def _refuse_interference(self, connection: Connection, changes: TableChanges) -> None:
        refuse_foreign_schema(connection)
        refuse_rewritten(changes)

    def _failure(self, error: BaseException, verb: str) -> Unavailable | None:
        """Return the failure for the callers, or None for a programming error.

        If the file is damaged, also set `damaged`.
        """
        code, cause = primary_code(error), getattr(error, "orig", error)
        if code in _DAMAGED or _is_undecodable(error, cause):
            self._note_damage(str(cause) if code in _DAMAGED else _NO_UTF_8)
            return _damaged()
        if code in _LOCKED:
            return locked()
        if code == sqlite3.SQLITE_FULL:
            return Unavailable("The disk of the database file is full.", fault=Fault.FULL)
        if isinstance(cause, sqlite3.OperationalError):
            return Unavailable(f"The database cannot be {verb}.")
        return None

    def _note_damage(self, reason: str) -> None:
        """Set `damaged`. An overwritten file is the cause of its damage, even if SQLite notices the damage first."""
        with self._noting:
            self.look_at_file()
            self.damaged = self.damaged or reason

    def _refuse_overwritten(self) -> None:
        self.look_at_file()
        if self.damaged:
            raise _damaged()

    def _refuse_leftovers(self) -> None:
        """Refuse `-wal` and `-journal` files of another database before SQLite applies them.

        Nothing could restore the file afterwards. Raises `StartupRefused`.
        """
        if not self._has_own_log:
            with self._opening:
                self._check_leftovers()

    def _check_leftovers(self) -> None:
        """Do the work of `_refuse_leftovers`, while no connection is opened.

        The check opens and closes the database file, and POSIX then ends all locks of this process on the file. Another
        process would delete the `-wal` file that a connection of this process uses.
        """
        if not self._has_own_log:
            refuse_overwritten(self._file)
            refuse_leftovers(self._file)
            self._has_own_log = True

    def _refuse_replaced(self) -> None:
        """Raise `Unavailable` while the files at the paths are not the files that this process has open.

        Commands would read the files at the paths. SQLite keeps the `-wal` and `-shm` files while a connection is
        open. All connections of a process share one mapping of the `-shm` file. So a new connection of this process
        would not open the file at the path. If no connection of this process is open, another process may delete both
        files and make new ones.
        """
        path = self._first_replaced()
        for pause in _PAUSES:
            if path is None:
                return
            sleep(pause)
            self._forget_closed_log()
            path = self._first_replaced()
        if path is not None:
            raise self._replaced(path)

    def _first_replaced(self) -> Path | None:
        for path in self._files:
            known = self._identities.get(path)
            if known is not None and known != identity(path):
                return path
        return None

    def _forget_closed_log(self) -> None:
        """Forget the `-wal` and `-shm` files if this process has neither of them open."""
        with self._opening:
            there = set(open_files().values())
            if there and there.isdisjoint(map(self._identities.get, self._files[1:])):
                self._forget_log()
                self._has_own_log = False
                self._check_leftovers()

    def _replaced(self, path: Path) -> Unavailable:
        return Unavailable(
            f"The database file {path} was moved or replaced while this process has it open.",
            "Move the file back, or restart the server.",
            fault=Fault.REPLACED,
        )

    def _open(self, arguments: Sequence[Any], named: Mapping[str, Any], prepare: Callable[[Any], None]) -> Any:
        """Open a connection, and check that SQLite opened exactly the files at the paths. Raises `Unavailable`."""
        for _ in range(_OPENINGS):
            with self._opening:
                before = open_files()
                with ExitStack() as opening:
                    connection = opening.enter_context(closing(sqlite3.connect(*arguments, **named)))
                    prepare(connection)  # this opens the -wal and the -shm file, too
                    self._remember_files()
                    if not opened_others(before, self._identities.values()):
                        opening.pop_all()
                        return connection
                self._forget_log()
        raise self._replaced(self._file)

    def _remember_files(self) -> None:
        for path in self._files:
            if path not in self._identities and (present := identity(path)) is not None:
                self._identities[path] = present

    def _forget_log(self) -> None:
        """Forget the -wal and -shm files, which SQLite deletes with the last connection."""
        for path in self._files[1:]:
            self._identities.pop(path, None)

    def migrate(self) -> Path | None:
        self._refuse_leftovers()
        self._make_private()
        engine = _engine(self._url, "BEGIN IMMEDIATE", self._open, poolclass=NullPool)
        try:
            with engine.begin() as connection:
                revision = revision_of(connection)
                # The write lock is taken, so nothing is written between the backup and the upgrade.
                backup = back_up(self._file, str(revision), datetime.now(UTC)) if is_older(revision) else None
                try:
                    upgrade(connection)
                except BaseException as error:
                    if backup is not None:  # else each start adds a copy. The database is unchanged
                        backup.unlink(missing_ok=True)
                    if isinstance(error, DatabaseError) and primary_code(error) == sqlite3.SQLITE_ERROR:
                        raise refused_upgrade("SQLite", f"{error.orig}") from error
                    raise
        except (DatabaseError, UnicodeDecodeError) as error:
            raise self._not_opened(error) from error
        finally:
            engine.dispose()
            self._forget_log()
        if backup is not None:
            log.warning("the schema was upgraded", before=revision, now=newest_revision(), backup=str(backup))
        return backup

    def _make_private(self) -> None:
        if (file := make_url(self._url).database) is not None:
            make_private(Path(file))

    def revision(self) -> str | None:
        self._refuse_leftovers()
        self._make_private()
        try:
            with self._readers.begin() as connection:
                return revision_of(connection)
        except (DatabaseError, UnicodeDecodeError) as error:
            raise self._not_opened(error) from error

    def _not_opened(self, error: DatabaseError | UnicodeDecodeError) -> Unavailable:
        """Return the failure for the operator when the file could not be opened."""
        code = primary_code(error)
        if code in _LOCKED:
            return locked(f" This shows which processes use the file: lsof {shlex.quote(str(self._file))}")
        full = self._failure(error, "opened") if code == sqlite3.SQLITE_FULL else None
        # If the file is damaged, is no database or cannot be opened, SQLite's own message is the most exact.
        words = error.orig if isinstance(error, DatabaseError) else _NO_UTF_8
        other = f"The database file {self._file} cannot be used: {words}."
        return full or Unavailable(other, "Check the data folder.")

    def has_stopped(self) -> bool:
        return self._writer.has_stopped()

    def begin_serving(self) -> None:
        if not self.lacks_wal:
            self._serves = True
            # The disk may be full. Then only a plain copy is not recognised.
            with suppress(sqlite3.Error, DatabaseError), closing(self._writer.engine.raw_connection()) as connection:
                sqlite_files.set_mark(cast("sqlite3.Connection", connection.driver_connection))
            if self._served_file is None:
                with suppress(OSError):  # without the look, the server works as before
                    self._served_file = ServedFile(self._file)

    def look_at_file(self) -> None:
        with self._noting, suppress(OSError):  # SQLite says what cannot be read
            if self._served_file is not None and self._served_file.is_overwritten():
                self.damaged = REASON  # set first, because writing the mark waits for the disk
                self._served_file.mark()

    def close(self) -> None:
        self.look_at_file()  # afterwards, SQLite may write the last pages and the header
        self._writer.close()
        self._closed = True
        self._readers.pool.dispose()
        if self._served_file is not None:
            self._served_file.close()
        if self.damaged == REASON:
            return
        if not self.lacks_wal:  # else the next start must recognise the plain copy, too
            with suppress(sqlite3.Error):  # the next program that closes the file removes the mark
                sqlite_files.remove_mark(self._file, served=self._serves)


def _damaged() -> Unavailable:
    remedy = "The operator restores a backup, then starts the server again."
    return Unavailable("The database file is damaged.", remedy, retry_after=60, fault=Fault.DAMAGED)


def _is_undecodable(error: BaseException, cause: BaseException) -> bool:
    """Whether the driver reports a text of the database that is not UTF-8.

    The result is false for an input that other code failed to decode.
    """
    if not isinstance(error, UnicodeDecodeError):
        return str(cause).startswith("Could not decode to UTF-8")
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return str(innermost.f_globals.get("__name__")).startswith(("sqlalchemy.", __name__))


def _engine(url: str, begin: str, opened: _Opened, *, read_only: bool = False, **pool: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False}, **pool)

    def prepare(connection: sqlite3.Connection) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN comes too late to be a lock
        connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        limit_cache(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        return opened(arguments, named, prepare)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # SQLite reads the schema again if its cookie differs. A person who writes the file by hand keeps the cookie.
        # SQLite also caches pages until another commit. A forged page could stay cached for a long time.
        if monotonic() >= connection.info.get("reload_at", 0.0):
            connection.exec_driver_sql("PRAGMA writable_schema = RESET")
            connection.exec_driver_sql("PRAGMA shrink_memory")
            connection.info["reload_at"] = monotonic() + RELOAD_SECONDS
            forget_schema(connection)
        connection.exec_driver_sql(begin)
        if not read_only:
            compare_schema(connection)

    return engine
