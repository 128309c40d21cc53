"""Why the database refused a write, in the few kinds that an operator can act on."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from sqlalchemy.exc import DBAPIError


class Outage(StrEnum):
    """A kind of failure, with the status that health endpoints show."""

    UNAVAILABLE = "database_unavailable"
    FULL = "database_full"
    LOCKED = "database_locked"
    READ_ONLY = "database_read_only"
    DAMAGED = "database_damaged"


_SQLITE = {
    sqlite3.SQLITE_FULL: Outage.FULL,
    sqlite3.SQLITE_BUSY: Outage.LOCKED,
    sqlite3.SQLITE_LOCKED: Outage.LOCKED,
    sqlite3.SQLITE_READONLY: Outage.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: Outage.DAMAGED,
    sqlite3.SQLITE_NOTADB: Outage.DAMAGED,
}
_POSTGRESQL = {  # SQLSTATE, PostgreSQL's manual, appendix A
    "53100": Outage.FULL,
    "55P03": Outage.LOCKED,  # lock_timeout
    "25006": Outage.READ_ONLY,
    "XX001": Outage.DAMAGED,
    "XX002": Outage.DAMAGED,
}


def outage_of(error: BaseException) -> Outage:
    """The kind of this failure, from the driver's error among its causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            return _kind(cause.orig)
        cause = cause.__cause__
    return Outage.UNAVAILABLE


def _kind(driver: BaseException | None) -> Outage:
    if isinstance(driver, sqlite3.Error):
        primary = getattr(driver, "sqlite_errorcode", 0) & 0xFF  # the rest is the extended code
        return _SQLITE.get(primary, Outage.UNAVAILABLE)
    return _POSTGRESQL.get(getattr(driver, "sqlstate", None) or "", Outage.UNAVAILABLE)
