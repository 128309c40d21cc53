"""PostgreSQL connections with a deadline for every call, and detection of a server that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import Buffer, Params, PQGen
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types.string import TextLoader
from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidatePoolError

from authsec_server.db.database import Access
from authsec_server.db.postgresql_pooler import (
    as_refused_options,
    full_pool,
    pooled_backend,
    refuse_shared_backend,
    shared_backend,
)
from authsec_server.db.postgresql_session import OPTIONS, is_pinned, lead_back, pin
from authsec_server.failures import Fault, Unavailable

PING_SECONDS: Final = 2.0  # for the test of a connection from the pool
CONNECT_SECONDS: Final = 3  # for each host of the URL
SESSION_SECONDS: Final = 30  # then a connection is closed, because a session caches catalogs
HOME_SECONDS: Final = 5.0  # between two checks that a new session would get the same database and schema
POOL_SECONDS: Final = 4.0  # for a free connection; an apply has the authority lock for 2-3 s
SILENT_SECONDS: Final = 5.0  # for each call while PostgreSQL does not answer
MARGIN_SECONDS: Final = 2.0  # added to the server's timeout: the client's timeout
RECORD_MILLISECONDS: Final = 3000  # for a record from its lock to its commit, from PostgreSQL 17 on
PATIENT_SECONDS: Final = 3600.0  # for each statement of a transaction that reads or deletes months of events
_LONG: Final = ("statement_timeout", "idle_in_transaction_session_timeout")  # set to `PATIENT_SECONDS`


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The timeouts of one transaction, in milliseconds. The fields have the names of PostgreSQL's settings."""

    lock_timeout: int
    statement_timeout: int
    idle_in_transaction_session_timeout: int

    @property
    def call_seconds(self) -> float:
        """Return how long the client waits for one answer, in seconds."""
        return self.statement_timeout / 1000 + MARGIN_SECONDS


_OF_SESSIONS: Final = Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=30_000)
BOUNDS: Final = {
    Access.READ: _OF_SESSIONS,
    Access.CHECK: _OF_SESSIONS,
    # Append: a frozen server must not keep a row that a revocation needs.
    Access.APPEND: Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=2500),
    # Record: a frozen server must not delay a revocation by more than 3 s.
    Access.RECORD: Bounds(lock_timeout=3000, statement_timeout=5000, idle_in_transaction_session_timeout=2000),
    # Change: others wait for an apply, which plans for seconds between two statements.
    Access.CHANGE: Bounds(lock_timeout=5000, statement_timeout=15_000, idle_in_transaction_session_timeout=15_000),
}


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return libpq's arguments for each connection. TCP settings in the operator's URL take precedence."""
    network = {
        "keepalives": 1,
        "keepalives_idle": 10,  # seconds
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds
        "connect_timeout": CONNECT_SECONDS,
    }
    chosen = {name: value for name, value in network.items() if name not in url.query}
    return {**chosen, "client_encoding": "utf8"}


def narrower(access: Access) -> dict[str, int]:
    """Return the timeouts of this kind of transaction that differ from the session's timeouts, in milliseconds."""
    ours = asdict(_OF_SESSIONS)
    return {name: value for name, value in asdict(BOUNDS[access]).items() if value != ours[name]}


# Every wait has a timeout, and PostgreSQL confirms only durable commits.
_SETTINGS: Final = {**asdict(_OF_SESSIONS), "synchronous_commit": "on", **OPTIONS}


def session_options() -> str:
    """Return the settings of a session as options of its connection."""
    return " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())


_TEXTS: Final = ("text", "varchar", "bpchar", "name")  # types whose values can be octets that are not UTF-8
RV = TypeVar("RV")
LOOK_SECONDS: Final = 0.1  # between two looks of a wait at its deadline


class NoAnswer(psycopg.OperationalError):
    """PostgreSQL did not answer a call within its deadline. The connection is closed."""


class BoundedCursor(psycopg.Cursor[Any]):
    """A cursor that waits for the answer to each statement before it sends the next."""

    def executemany(self, query: Any, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        """Execute the statement once for each of the parameters. `rowcount` is the number of all rows afterwards.

        The attack: a server is frozen while it sends many statements together, as psycopg's `executemany` does. No
        timeout of PostgreSQL ends the transaction between two such statements, and revocations wait for its lock.

        Raises `NotImplementedError` if `returning` is true.
        """
        if returning:
            raise NotImplementedError  # SQLAlchemy never asks for it
        rows = 0
        for parameters in params_seq:
            self.execute(query, parameters)
            rows += self.rowcount
        self._rowcount = rows


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes and raises `NoAnswer` when a call takes longer than `seconds`.

    `is_silent` returns true after other calls found that PostgreSQL does not answer. While it returns true, a
    call takes at most `SILENT_SECONDS`.
    """

    seconds = PING_SECONDS
    schema = ""  # the schema to which the session is pinned
    where = ""  # the session's database and schema
    look_at = 0.0  # when they are compared again, monotonic
    backend = 0  # the process id of the backend behind a pooler; 0 without a pooler
    is_silent: Callable[[], bool] = staticmethod(lambda: False)

    def wait(self, gen: PQGen[RV], interval: float = LOOK_SECONDS, timeout: float | None = None) -> RV:
        if timeout is not None:  # psycopg's own timeout, for notifications
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(self._bounded(gen), LOOK_SECONDS)
        except NoAnswer:
            self.close()  # shuts the socket: an answer that comes later must not be taken for another call's
            raise

    def _bounded(self, gen: PQGen[RV]) -> PQGen[RV]:
        """Wrap the generator, and raise `NoAnswer` after the deadline.

        An answer that arrived before the deadline check is still read.
        """
        began = monotonic()
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send((yield wanted))
                waited = monotonic() - began
                if waited >= self.seconds or (waited >= SILENT_SECONDS and self.is_silent()):
                    gen.close()
                    raise NoAnswer("no answer within the deadline")
        except StopIteration as end:
            result: RV = end.value
            return result

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Allow each call this many seconds within the context."""
        before, self.seconds = self.seconds, seconds
        try:
            yield
        finally:
            self.seconds = before


def bound(
    engine: Engine,
    is_silent: Callable[[], bool] = lambda: False,
    schema: str | None = None,
    look: Callable[[BoundedConnection], None] = lambda _: None,
) -> None:
    """Set a deadline for each answer on all connections of this engine. Each connection sends one statement at a time.

    If `schema` is not None, also `pin` each session to it, and `look` at each session, also later. `look` may raise
    `OtherSession`.
    """

    engine.dialect.use_insertmanyvalues_wo_returning = True  # many rows are inserted by one statement

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> BoundedConnection:
        connection = _opened(arguments, named)
        connection.is_silent = is_silent
        try:
            if schema is not None:
                _prepare(connection, schema, lambda: _opened(arguments, named))
                look(connection)
                connection.look_at = monotonic() + HOME_SECONDS
        except BaseException:
            connection.close()
            raise
        return connection

    @event.listens_for(engine, "checkout")
    def _look(driver: Any, _record: Any, _proxy: Any) -> None:
        if schema is None:
            return
        try:
            lead_back(driver, driver.schema)  # which also shows whether the session is alive
        except psycopg.Error as error:
            raise InvalidatePoolError("the session was lost") from error
        if monotonic() >= driver.look_at:
            driver.look_at = monotonic() + HOME_SECONDS
            try:
                pinned = is_pinned(driver, driver.where, schema)
                look(driver)
            except psycopg.Error as error:  # a new session raises the reason
                raise DisconnectionError("the session was lost") from error
            if not pinned:
                raise DisconnectionError("the session is not in the state of a new session")  # the pool opens another


def _opened(arguments: Sequence[Any], named: Mapping[str, Any]) -> BoundedConnection:
    try:
        return BoundedConnection.connect(*arguments, **named, cursor_factory=BoundedCursor)
    except psycopg.OperationalError as error:
        raise as_refused_options(error) or error from None


def _prepare(connection: BoundedConnection, schema: str, open_another: Callable[[], BoundedConnection]) -> None:
    """Pin a session that was just opened. Raises `OtherSession`, also for a pooler that does not keep its state."""
    try:
        connection.schema, connection.where = pin(connection, schema, _SETTINGS)
        if backend := pooled_backend(connection):
            refuse_shared_backend(connection, open_another)
            connection.backend = backend
    except psycopg.errors.InvalidSqlStatementName:  # it was prepared in another backend
        raise shared_backend() from None
    except NoAnswer:
        if connection.where:  # pinned, so this session had an answer
            raise full_pool() from None
        raise


def driver_of(connection: Connection) -> BoundedConnection:
    """Return the driver's connection of a SQLAlchemy connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    return driver


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Within this context, each octet that is not UTF-8 becomes an escape such as `\\xff`.

    The attack: a cast from `bytea` stores such octets. PostgreSQL sends them, and the driver refuses them.
    """
    adapters = driver_of(connection).adapters
    before = {name: adapters.get_loader(adapters.types[name].oid, Format.TEXT) for name in _TEXTS}
    for name in before:
        adapters.register_loader(name, _AnyText)
    try:
        yield
    finally:
        for name, loader in before.items():
            adapters.register_loader(name, loader or TextLoader)


class _AnyText(Loader):
    """The psycopg loader that `any_text` uses."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


def as_raised_by_queries(driver: psycopg.Connection[Any], what: str, error: psycopg.Error) -> BaseException:
    """Return SQLAlchemy's error for this error of the driver, as a query about `what` would raise it."""
    return DBAPIError.instance(
        what, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.closed
    )


def execute_numbered(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    """Execute a statement with the placeholders `$1`, `$2`, …, and return the number of its rows.

    Of a statement with other placeholders, psycopg parses a long text each time.
    """
    driver = driver_of(connection)
    try:
        return psycopg.RawCursor(driver).execute(statement.encode(), values).rowcount
    except psycopg.Error as error:
        raise as_raised_by_queries(driver, "an insert", error) from error


def allow_long_statements(connection: Connection) -> None:
    """Raise two timeouts of this transaction to an hour: for each statement, and between two statements."""
    for setting in _LONG:
        connection.execute(text(f"SET LOCAL {setting} = '{PATIENT_SECONDS:.0f}s'"))
    driver_of(connection).seconds = PATIENT_SECONDS  # the client's own bound, until the transaction ends


@contextmanager
def timeouts_of_servers(connection: Connection) -> Iterator[None]:
    """Within this context, the transaction has the timeouts of a server's session, despite `allow_long_statements`.

    The attack: foreign code recognises `verify` by its timeouts, and gives false answers only to servers. After an
    error, the caller must roll back to a savepoint.
    """
    driver = driver_of(connection)
    driver.execute("; ".join(f"SET LOCAL {setting} = {_SETTINGS[setting]}" for setting in _LONG).encode())
    yield
    driver.execute("; ".join(f"SET LOCAL {setting} = '{PATIENT_SECONDS:.0f}s'" for setting in _LONG).encode())


class Silence:
    """The state of PostgreSQL: silent or answering. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._heard_at = float("-inf")
        self._silent = False
        self._asking = threading.Lock()

    @contextmanager
    def asking(self) -> Iterator[float]:
        """Allow a call to PostgreSQL, and yield the time at which the call began.

        While PostgreSQL is silent, only one caller at a time may make a call. Raises `Unavailable` for the other
        callers.
        """
        if not self._silent:
            yield monotonic()
            return
        if not self._asking.acquire(blocking=False):
            raise unanswered()
        try:
            yield monotonic()
        finally:
            self._asking.release()

    def is_silent(self) -> bool:
        """Whether PostgreSQL is silent: a call got no answer, and no later call got an answer."""
        return self._silent

    def heard(self) -> None:
        """Note that PostgreSQL has answered."""
        self._heard_at = monotonic()
        self._silent = False

    def suspect(self, since: float) -> None:
        """Mark PostgreSQL as silent after a call that began at `since` got no answer.

        If another call has got an answer since then, PostgreSQL is not marked.
        """
        if self._heard_at < since:
            self._silent = True


def unanswered() -> Unavailable:
    """Return the failure for callers while PostgreSQL does not answer."""
    return Unavailable("The database does not answer.", fault=Fault.SILENT)
