"""Sessions through a connection pooler, such as PgBouncer.

A session of AuthSec has state: timeouts, the search path, prepared statements and LISTEN. A pooler in session mode
keeps one backend for each session, so the state stays. In transaction mode a transaction could run without its
timeouts, or with the search path of another program, and no statement would fail. So the server refuses such a pooler.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import psycopg
from psycopg import errors

from authsec_server.db.postgresql_session import OtherSession

_PROBES: Final = 3
_PID: Final = b"SELECT pg_catalog.pg_backend_pid()"
_IGNORE: Final = "In pgbouncer.ini, set ignore_startup_parameters = options. The server sets the options itself."


def pooled_backend(driver: psycopg.Connection[Any]) -> int:
    """Return the process id of the backend if a pooler is between this session and PostgreSQL; otherwise 0.

    A pooler sends an id of its own at the start of a session, because it has no backend for the session yet.
    """
    backend = _backend(driver)
    return 0 if backend == driver.info.backend_pid else backend


def refuse_shared_backend(driver: psycopg.Connection[Any], open_another: Callable[[], psycopg.Connection[Any]]) -> None:
    """Raise `OtherSession` if the pooler gives the backend of this idle session to another session."""
    backend = _backend(driver)
    try:
        with closing(open_another()) as other:
            for _ in range(_PROBES):
                with other.transaction():
                    taken = other.execute(_PID).fetchone()
                    if taken == (backend,) or _backend(driver) != backend:
                        raise shared_backend()
    except errors.ProtocolViolation:  # statement mode has no transactions
        raise shared_backend() from None


def as_refused_options(error: psycopg.OperationalError) -> OtherSession | None:
    """Return the error to raise if PgBouncer refused the options of a session; otherwise None."""
    if "unsupported startup parameter" not in str(error):
        return None
    return OtherSession("PgBouncer refuses the options of the session.", _IGNORE)


def full_pool() -> OtherSession:
    """Return the error to raise if the pooler has no backend for one more session."""
    return OtherSession(
        "A connection pooler has no free connection to PostgreSQL.",
        "In pgbouncer.ini, raise default_pool_size. Each worker of a server needs 18 connections.",
    )


def _backend(driver: psycopg.Connection[Any]) -> int:
    """Return the process id of the backend that runs a transaction of this idle session."""
    before, driver.autocommit = driver.autocommit, True
    try:
        row = driver.execute(_PID).fetchone()
    finally:
        if not driver.closed:
            driver.autocommit = before
    assert row is not None
    backend: int = row[0]
    return backend


def shared_backend() -> OtherSession:
    """Return the error to raise if a pooler does not keep one backend for each session."""
    return OtherSession(
        "A connection pooler gives the sessions of this server to other programs between transactions. So a "
        "transaction could run without its timeouts, or with other settings.",
        "In pgbouncer.ini, set pool_mode = session for this database, or connect to PostgreSQL directly.",
    )
