"""PostgreSQL: a connection pool, one transaction per call, and the authority lock as an advisory lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from time import perf_counter_ns

from psycopg.errors import ConnectionTimeout
from sqlalchemy import Connection, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from authsec_server.db.database import READING, Access, Database, T, Work, open_tx
from authsec_server.db.interference import refuse_foreign_code, refuse_rewritten
from authsec_server.db.locks import AUTHORITY_LOCK, MASTER_KEY_LOCK, MIGRATION_LOCK
from authsec_server.db.migrate import is_current, refused_upgrade, revision_of, upgrade
from authsec_server.db.postgresql_connection import (
    BOUNDS,
    PATIENT_SECONDS,
    POOL_SECONDS,
    RECORD_MILLISECONDS,
    SESSION_SECONDS,
    NoAnswer,
    Silence,
    bound,
    connect_arguments,
    driver_of,
    narrower,
    session_options,
    unanswered,
)
from authsec_server.db.postgresql_errors import LOCKED, reason_of
from authsec_server.db.postgresql_hints import CHANNEL, Listener
from authsec_server.db.postgresql_pooler import shared_backend
from authsec_server.db.postgresql_session import OtherSession, with_schema_apart
from authsec_server.db.postgresql_timeline import Timeline
from authsec_server.db.recent_changes import RecentChanges
from authsec_server.db.table_changes import TableChanges
from authsec_server.db.table_digests import WRITTEN_BY_CHANGES
from authsec_server.failures import Fault, OutcomeUnknown, StartupRefused, Unavailable
from authsec_server.metrics.catalogue import CONNECTIONS, CONNECTIONS_LIMIT, DATABASE_WAITS

# READ COMMITTED for the locked kinds: each statement after the lock must see all commits before the lock was granted.
_ISOLATION = dict.fromkeys(READING, "REPEATABLE READ")
_LOCK = {
    Access.RECORD: f"pg_advisory_xact_lock_shared({AUTHORITY_LOCK})",
    Access.CHANGE: f"pg_advisory_xact_lock({AUTHORITY_LOCK})",
}
# An append takes no authority lock. Without this lock, it could write with a master key that has just been changed.
_OF_APPENDS = f"pg_advisory_xact_lock_shared({MASTER_KEY_LOCK})"
# The attack: raw SQL inserts or deletes a row after a change has read its rows, and before the change computes digests.
# Readers do not wait for this lock.
_LOCK_TABLES = text(f"LOCK TABLE {', '.join(WRITTEN_BY_CHANGES)} IN SHARE ROW EXCLUSIVE MODE")
_DISK_FULL = "53100"
_UPGRADE_LOCK_MILLISECONDS = 2000  # servers wait longer for a record, so their requests do not fail
_TIME = text("SELECT clock_timestamp()")
_CONNECTION_WAITS = DATABASE_WAITS.of("connection")
_LOCK_WAITS = DATABASE_WAITS.of("authority_lock")
_IN_USE = CONNECTIONS.of()
_KILLED = frozenset({"25P03", "25P04"})  # PostgreSQL's timeouts: idle in a transaction, transaction


@cache
def _opening(access: Access, *, limited: bool, pooled: bool) -> TextClause | None:
    """Return the first statement of a transaction: set the timeouts, then take the lock, in one round trip.

    If `limited` is true, PostgreSQL itself limits how long the transaction may have the lock. If `pooled` is true, the
    first column is the process id of the backend.
    """
    columns = [f"set_config('{name}'::text, '{value}'::text, true)" for name, value in narrower(access).items()]
    columns += [_LOCK[access]] if access in _LOCK else []
    columns += [_OF_APPENDS] if access is Access.APPEND else []
    columns = ["pg_backend_pid()", *columns] if pooled else columns
    if limited and access is Access.RECORD:
        columns.append(f"set_config('transaction_timeout'::text, '{RECORD_MILLISECONDS}'::text, true)")
    return text(f"SELECT {', '.join(columns)}") if columns else None


class PostgreSQL(Database):
    """A PostgreSQL database that any number of server processes share."""

    dialect = "postgresql"

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.recent_changes = RecentChanges()
        address, schema = with_schema_apart(make_url(url))
        self._engine: Engine = create_engine(
            address,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_recycle=SESSION_SECONDS,
            hide_parameters=True,  # values never reach an exception text
            connect_args={"options": session_options(), **connect_arguments(address)},
        )
        CONNECTIONS_LIMIT.of().set(pool_size)
        self._silence = Silence()
        self._timeline = Timeline()
        bound(self._engine, self._silence.is_silent, schema, self._timeline.look)

    @property
    def was_promoted(self) -> bool:
        return self._timeline.may_lack

    def accept_promotion(self) -> None:
        self._timeline.may_lack = False

    def _run(self, access: Access, work: Work[T]) -> T:
        with self._silence.asking() as began:
            committing = False
            try:
                with self._connected() as connection, driver_of(connection).within(BOUNDS[access].call_seconds):
                    connection = connection.execution_options(
                        isolation_level=_ISOLATION.get(access, "READ COMMITTED"),
                        postgresql_readonly=access in READING,
                    )
                    with connection.begin():
                        result = self._work(connection, access, work)
                        committing = access not in READING
                self._silence.heard()
                return result
            except PoolTimeout as error:
                self._silence.suspect(began)
                raise Unavailable("All connections to the database are in use.", fault=Fault.BUSY) from error
            except DBAPIError as error:
                if isinstance(error.orig, NoAnswer | ConnectionTimeout):
                    self._silence.suspect(began)
                raise _failure(error, access, committing=committing) or error from error

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        began = perf_counter_ns()
        try:
            connected = self._engine.connect()
        finally:  # also a wait that ended without a connection
            _CONNECTION_WAITS.add((perf_counter_ns() - began) // 1000)
        with connected as connection:
            _IN_USE.add()
            try:
                yield connection
            finally:
                _IN_USE.add(-1)

    def _work(self, connection: Connection, access: Access, work: Work[T]) -> T:
        version = connection.dialect.server_version_info or ()
        backend = driver_of(connection).backend
        opening = _opening(access, limited=version >= (17,), pooled=backend != 0)
        began = perf_counter_ns()
        try:
            if opening is not None:
                row = connection.execute(opening).one()
                if backend and row[0] != backend:  # somebody changed the pool mode meanwhile
                    raise _other_session(shared_backend())
            if access is Access.CHANGE:
                connection.execute(_LOCK_TABLES)
        finally:  # also a wait that ended without the lock
            if access in _LOCK:
                _LOCK_WAITS.add((perf_counter_ns() - began) // 1000)
        tx = open_tx(connection, access)
        self._silence.heard()
        result = work(tx)
        if access is Access.CHANGE:
            connection.execute(text(f"NOTIFY {CHANNEL}"))  # goes out with the commit
        return result

    def _refuse_interference(self, connection: Connection, changes: TableChanges) -> None:
        refuse_foreign_code(connection)
        refuse_rewritten(changes)

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        with super().telling(tell), Listener(self._engine.url, tell).listening():
            yield

    def time(self) -> datetime | None:
        found: datetime = self.read(lambda tx: tx.connection.execute(_TIME).scalar_one())
        return found

    def migrate(self) -> None:
        with self._opened() as connection:
            # Two upgrades at the same time: the second waits, then finds nothing to do.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            if is_current(connection):
                return
            connection.execute(text(f"SET LOCAL lock_timeout = {_UPGRADE_LOCK_MILLISECONDS}"))
            # Servers record and change nothing meanwhile. Later they see which release may run.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUTHORITY_LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            with driver_of(connection).within(PATIENT_SECONDS):
                _upgrade(connection)

    def revision(self) -> str | None:
        with self._opened() as connection:
            return revision_of(connection)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        """Open a transaction on a database that may have no schema. Raises `Unavailable` or `StartupRefused`."""
        try:
            with (
                self._engine.begin() as connection,
                driver_of(connection).within(BOUNDS[Access.CHANGE].call_seconds),
            ):
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            if isinstance(error, OperationalError) and isinstance(error.orig, OtherSession):
                raise _other_session(error.orig) from error
            if isinstance(error, OperationalError) and _sqlstate(error) in {*LOCKED, _DISK_FULL}:
                raise _failure(error, Access.CHANGE, committing=False) or error from error
            raise Unavailable(
                "The database cannot be reached.", "Check the database URL, and that the database is running."
            ) from error
        except DBAPIError as error:
            if _sqlstate(error):
                raise
            raise StartupRefused("The database URL has an option that PostgreSQL does not know.") from None

    def close(self) -> None:
        self._engine.dispose()


def _upgrade(connection: Connection) -> None:
    """Upgrade the schema. Raises `StartupRefused` if PostgreSQL refuses a statement: the role may not own a table."""
    try:
        upgrade(connection)
    except DBAPIError as error:
        if not _sqlstate(error).startswith("42"):  # "syntax error or access rule violation"
            raise
        raise refused_upgrade("PostgreSQL", reason_of(error)) from error


def _failure(error: DBAPIError, access: Access, *, committing: bool) -> Unavailable | None:
    """Return the failure for the callers, or None for a programming error."""
    if committing and error.connection_invalidated and _sqlstate(error) not in _KILLED:
        return OutcomeUnknown("The connection to the database was lost during the commit.")
    if isinstance(error.orig, NoAnswer | ConnectionTimeout):
        return unanswered()
    if isinstance(error.orig, OtherSession):
        return _other_session(error.orig)
    state = _sqlstate(error)
    if state in LOCKED:
        return Unavailable("Another transaction has kept a lock too long.", fault=Fault.AUTHORITY_LOCKED)
    if state == _DISK_FULL:
        return Unavailable("The disk of the database is full.", fault=Fault.FULL)
    if isinstance(error, OperationalError | InterfaceError):
        return Unavailable("The database is unreachable or too slow.")
    if error.connection_invalidated or is_outage(error, access):
        return Unavailable("The database cannot run the statement at the moment.")
    return None


def _other_session(error: OtherSession) -> Unavailable:
    return Unavailable(error.message, error.remedy, fault=Fault.OTHER_SESSION)


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def is_outage(error: DBAPIError, access: Access) -> bool:
    """Whether the PostgreSQL server cannot serve now: it is a standby, shuts down, or lacks resources.

    An error that concerns only the statement is not an outage. The codes are PostgreSQL's SQLSTATE classes
    (PostgreSQL manual, appendix A).
    """
    state = _sqlstate(error)
    on_a_standby = state == "25006" or (state == "0A000" and "recovery" in str(error.orig))
    if on_a_standby and access not in READING:
        return True
    return state in _KILLED or state[:2] in {"08", "53", "57", "58", "XX"}
