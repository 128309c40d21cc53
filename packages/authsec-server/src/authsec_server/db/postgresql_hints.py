"""Hints from PostgreSQL about changes by any process: a thread runs LISTEN on a separate connection.

No hints arrive through a pool that gives the session to another client after each transaction. The thread
regularly tests the connection with a query, because a proxy that stops forwarding does not close connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic

import psycopg
import structlog
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from authsec_server.db.postgresql_connection import BoundedConnection, bound, connect_arguments

log = structlog.get_logger(__name__)

CHANNEL = "authsec_changed"
LOOK_UP_SECONDS = 0.5  # between two checks whether the thread must end
ASK_SECONDS = 5.0  # between two tests of the connection
RETRY_SECONDS = 5.0


class Listener:
    """A thread that calls `tell` for each change, by any process."""

    def __init__(self, url: URL, tell: Callable[[], None]) -> None:
        arguments = {**connect_arguments(url), "autocommit": True}
        self._engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
        bound(self._engine)
        self._tell = tell
        self._over = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Run the listening thread within this context."""
        thread = threading.Thread(target=self._run, name="authsec-postgresql-hints", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(2 * LOOK_UP_SECONDS)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._listen()
            except (DBAPIError, psycopg.Error) as error:
                log.debug("no hints from the database at the moment", error=type(error).__name__)
                self._over.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        pooled = self._engine.raw_connection()
        driver = pooled.driver_connection
        assert isinstance(driver, BoundedConnection)
        pooled.detach()  # else the pool would roll back a lost connection, and log an error
        with closing(driver):
            driver.execute(f"LISTEN {CHANNEL}")
            asked = monotonic()
            while not self._over.is_set():
                for _hint in driver.notifies(timeout=LOOK_UP_SECONDS):
                    self._tell()
                if monotonic() - asked >= ASK_SECONDS:
                    driver.execute("SELECT 1")
                    asked = monotonic()
