"""A connection to PostgreSQL whose every call ends within a deadline.

A proxy that stops forwarding keeps its sockets open and its kernel acknowledges what is sent, so neither keepalives nor
`tcp_user_timeout` end the wait. psycopg never blocks in libpq: it waits in `Connection.wait`, for connect, statement,
commit and rollback alike. The deadline is checked there, in the thread that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, event, text

from authsec_server.db.postgresql_options import PATIENT_SECONDS, PING_SECONDS, SILENT_SECONDS
from authsec_server.db.postgresql_session import pin

RV = TypeVar("RV")
LOOK_SECONDS: Final = 0.1  # so often a wait looks at its deadline


class NoAnswer(psycopg.OperationalError):
    """PostgreSQL did not answer a call within its deadline. The connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself, and raises `NoAnswer`, when a call takes longer than `seconds`.

    While PostgreSQL `is_silent`, as other calls have found, a call takes `SILENT_SECONDS` at most.
    """

    seconds = PING_SECONDS
    is_silent: Callable[[], bool] = staticmethod(lambda: False)

    def wait(self, gen: PQGen[RV], interval: float = LOOK_SECONDS, timeout: float | None = None) -> RV:
        if timeout is not None:  # a bound of psycopg's own, for notifications
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(self._bounded(gen), LOOK_SECONDS)
        except NoAnswer:
            self.close()  # shuts the socket: an answer that comes later must not be taken for another call's
            raise

    def _bounded(self, gen: PQGen[RV]) -> PQGen[RV]:
        """The same generator, which raises `NoAnswer` too late. An answer that has arrived is still read."""
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
        """While this is open, each call may take so long."""
        before, self.seconds = self.seconds, seconds
        try:
            yield
        finally:
            self.seconds = before


def bound(engine: Engine, is_silent: Callable[[], bool] = lambda: False, schema: str | None = None) -> None:
    """Give every connection of this engine a deadline. Unless `schema` is None, `pin` the session to it."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, **named)
        connection.is_silent = is_silent
        try:
            if schema is not None:
                pin(connection, schema)
        except BaseException:
            connection.close()
            raise
        return connection


def driver_of(connection: Connection) -> BoundedConnection:
    """The driver's connection below SQLAlchemy's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    return driver


def be_patient(connection: Connection) -> None:
    """Give each statement of this transaction an hour, and the pause between two of them."""
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {setting} = '{PATIENT_SECONDS:.0f}s'"))
    driver_of(connection).seconds = PATIENT_SECONDS  # the client's own bound, until the transaction ends
