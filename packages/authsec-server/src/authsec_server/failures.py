"""Failures of requests and of the server's start, as exceptions that do not depend on HTTP.

Services raise these exceptions, and `web/errors.py` turns them into responses. A *decision* about a token is
not a failure: a decision is a value with a reason (`tokens/decision.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Protocol


def seconds_text(wait: float) -> str:
    """Return a wait, rounded up to whole seconds, as text: `1 second`, `30 seconds`."""
    whole = math.ceil(wait)
    return f"{whole:,} second{'' if whole == 1 else 's'}"


class Failure(Exception):
    """A request that the authority cannot carry out. `message` names the failure; `remedy` says how to fix it.

    `others` are the further failures of the same request. Forms show all of them; the admin API returns only the first.
    """

    reason = "failure"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.others: tuple[Failure, ...] = ()


class Invalid(Failure):
    """A given value breaks a rule. `field` is the value's name in the request."""

    reason = "invalid_request"

    def __init__(self, field: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class NotFound(Failure):
    """The requested object does not exist."""

    reason = "not_found"


class Conflict(Failure):
    """The request contradicts existing data. `field` names the value in conflict, if there is one."""

    reason = "conflict"

    def __init__(self, message: str, remedy: str = "", *, field: str = "") -> None:
        super().__init__(message, remedy)
        self.field = field


class FailureList:
    """Collects the failures of independent checks, at most one for each field, and raises them together.

    Further failures than `MOST` are not kept: one request can have very many wrong values.
    """

    MOST = 100

    def __init__(self) -> None:
        self.failures: list[Invalid | Conflict] = []
        self.fields: set[str] = set()

    def add(self, failure: Invalid | Conflict) -> None:
        """Add the failure and its others. A field that has a failure keeps that failure."""
        for each in (failure, *failure.others):
            if (
                isinstance(each, Invalid | Conflict)
                and each.field not in self.fields
                and len(self.failures) < self.MOST
            ):
                self.failures.append(each)
                self.fields |= {each.field} - {""}

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Add the failure that a check raises."""
        try:
            yield
        except (Invalid, Conflict) as failure:
            self.add(failure)

    def raise_all(self) -> None:
        """Raise the first failure with the others. A wrong value comes before a conflict with existing data."""
        if self.failures:
            raise self.first(lambda each: isinstance(each, Conflict))

    def first(self, position: Callable[[Invalid | Conflict], int]) -> Invalid | Conflict:
        """Return the failure with the lowest position, which gets the others. There must be a failure."""
        first, *others = sorted(self.failures, key=position)
        first.others = tuple(others)
        return first


class SlugHolder(Protocol):
    """An object that has a slug."""

    @property
    def name(self) -> str: ...
    @property
    def slug(self) -> str: ...


class SlugTaken(Conflict):
    """Another object of the same kind has the slug. `called` names that object in the message.

    `holder` is its name, and `holder_slug` finds its page.
    """

    def __init__(
        self, slug: str, holder: SlugHolder, *, called: str, remedy: str = "Choose another slug or name."
    ) -> None:
        super().__init__(f"The slug {slug} already belongs to {called}.", remedy, field="slug")
        self.slug = slug
        self.holder = holder.name
        self.holder_slug = holder.slug


class Outdated(Failure):
    """Somebody else changed the object after the caller read it.

    `by` is the name of that person, and `at` is the time of the change. `thing` is the object's id. The caller
    read the revision `since`; the current revision is `present`. `fields` are the fields that changed meanwhile,
    if known.
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
    """The principal is not permitted to do this."""

    reason = "not_permitted"


class RoleTooSmall(NotPermitted):
    """The principal is not permitted to do this, but a higher role would be."""


class Fault(StrEnum):
    """The part of the system that failed, if known. `/readyz` and the log show this name."""

    UNKNOWN = "unknown"
    SILENT = "database_silent"  # the database accepts connections, but does not answer
    LOCKED = "write_lock_held"  # another process holds SQLite's write lock
    AUTHORITY_LOCKED = "authority_lock_held"  # another transaction holds PostgreSQL's authority lock, or a row lock
    BUSY = "database_busy"  # no free connection, or more writes than the disk can take
    DAMAGED = "database_damaged"  # the SQLite file is malformed, or another program overwrote it
    FULL = "disk_full"
    READ_ONLY = "database_read_only"  # the database is a standby
    OTHER_SESSION = "database_session_differs"  # a PostgreSQL session would use the tables of another schema
    VERSION_SET_BACK = "authority_version_set_back"  # another than AuthSec lowered the authority version
    OLDER = "database_older"  # a standby became the primary, and may lack acknowledged transactions
    SCHEMA_NEWER = "database_schema_newer"  # a newer AuthSec upgraded the schema, and this version may not use it
    MASTER_KEY_CHANGED = "master_key_changed"  # authsec keys change-master-key; this server has another master key
    REPLACED = "database_replaced"  # somebody put another SQLite file at the path of the open file


class Unavailable(Failure):
    """The authority cannot do the request at the moment, usually because it cannot write a durable record.

    Nothing was changed.
    """

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
    """The connection or the disk failed during the commit, so the change may have been made."""

    def __init__(self, message: str, *, fault: Fault = Fault.UNKNOWN) -> None:
        super().__init__(message, "The change may have been made. Check before you repeat it.", fault=fault)


class StartupRefused(Failure):
    """The server must not start in this state. The operator reads the message and the remedy in the terminal."""

    reason = "startup_refused"
