"""Checks that must not be ignored, as exceptions that know nothing of HTTP.

Services raise them; `web/errors.py` turns them into answers. A *decision* about a token is no failure: it is a value
with a reason (`tokens/model.py`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum


class Failure(Exception):
    """A request that cannot be carried out. `message` says what failed, `remedy` what would satisfy it."""

    reason = "failure"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Invalid(Failure):
    """A value that was handed in breaks a rule; `field` names it as the caller knows it."""

    reason = "invalid_request"

    def __init__(self, field: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class NotFound(Failure):
    """There is no such thing."""

    reason = "not_found"


class Conflict(Failure):
    """It contradicts what already exists; `field` names the value that does, where it is one."""

    reason = "conflict"

    def __init__(self, message: str, remedy: str = "", *, field: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class Outdated(Failure):
    """What was to be changed was changed by somebody else since the caller read it; `by` whom and `at` when.

    The caller had read the revision `since` of `thing`, its id, and it is `present` by now; `fields` changed meanwhile,
    where that is known.
    """

    reason = "outdated"

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        by: str,
        at: datetime,
        thing: str = "",
        since: int = 0,
        present: int = 0,
    ) -> None:
        super().__init__(message, remedy)
        self.by = by
        self.at = at
        self.thing = thing
        self.since = since
        self.present = present
        self.fields: tuple[str, ...] = ()


class NotPermitted(Failure):
    """The principal's role does not reach that far."""

    reason = "not_permitted"


class RoleTooSmall(NotPermitted):
    """The same, where another role would do."""


class Fault(StrEnum):
    """The part that failed, where it is known: for `/readyz` and the log."""

    UNKNOWN = "unknown"
    SILENT = "database_silent"  # it accepts connections and does not answer
    LOCKED = "write_lock_held"  # another process holds SQLite's write lock
    AUTHORITY_LOCKED = "authority_lock_held"  # another transaction holds PostgreSQL's authority lock, or a row lock
    BUSY = "database_busy"  # no connection became free, or this process writes more than the disk takes
    DAMAGED = "database_damaged"  # SQLite found its file malformed
    FULL = "disk_full"
    READ_ONLY = "database_read_only"  # a standby
    OTHER_SESSION = "database_session_differs"  # a session on PostgreSQL would see other tables than AuthSec's
    REPLACED = "database_replaced"  # another SQLite file is at the path of the one that is open


class Unavailable(Failure):
    """The authority cannot keep its promises at the moment (above all: a durable record), so it does nothing."""

    reason = "unavailable"

    def __init__(
        self,
        message: str,
        remedy: str = "Retry shortly.",
        *,
        retry_after: int = 1,
        fault: Fault = Fault.UNKNOWN,
    ) -> None:
        super().__init__(message, remedy)
        self.retry_after = retry_after
        self.fault = fault


class OutcomeUnknown(Unavailable):
    """The connection was lost, or the disk failed, at the commit: the change may have been made."""

    def __init__(self, message: str, *, fault: Fault = Fault.UNKNOWN) -> None:
        super().__init__(message, "The change may have been made. Look before you repeat it.", fault=fault)


class StartupRefused(Failure):
    """The server must not start like this; message and remedy are for the operator at the terminal."""

    reason = "startup_refused"
