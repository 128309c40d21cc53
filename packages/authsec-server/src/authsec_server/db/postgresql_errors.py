"""The errors of PostgreSQL that a check distinguishes."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError

NO_RIGHT: Final = "42501"
WAITED_FOR_A_LOCK: Final = "55P03"
LOCKED: Final = frozenset({"40P01", WAITED_FOR_A_LOCK})  # a deadlock, or a timeout of a lock
NOT_NOW: Final = frozenset({"40001", *LOCKED})  # a concurrent change, or a lock of another transaction


def sqlstate(error: DBAPIError) -> str:
    """Return PostgreSQL's error code; an empty text for a connection error."""
    return getattr(error.orig, "sqlstate", None) or ""


def reason_of(error: DBAPIError) -> str:
    """Return the first line of PostgreSQL's error message."""
    return str(error.orig).partition("\n")[0]


def is_of_server(error: DBAPIError) -> bool:
    """Whether the server cannot serve now. Any other error concerns a single object."""
    return error.connection_invalidated or sqlstate(error)[:2] in {"", "08", "53", "57", "58"}
