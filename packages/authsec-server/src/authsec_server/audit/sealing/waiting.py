"""Find events without a seal that a running server would have sealed by now. Pure.

A server seals an event within a second, and a refusal counted by the minute within ten minutes.
There are two possible causes for an older event without a seal:

- The event was written while no server ran.
- Raw SQL inserted the event later and gave it an earlier time.

The log cannot show which of the two happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from authsec_server.audit.model import COUNTED, EventKind
from authsec_server.audit.sealing.checkpoints import CLOCK_TOLERANCE, shown_time
from authsec_server.audit.sealing.service import OVERDUE_AFTER
from authsec_server.principal import PrincipalKind

NEVER: Final = "~"  # sorts after every ISO 8601 time
_STARTING: Final = timedelta(minutes=1)  # after this time, a started server has sealed nearly all waiting events
_FURTHEST: Final = timedelta(days=1)  # that the clock of a server may be ahead
_OVER_HTTP: Final = {PrincipalKind.ADMINISTRATOR, PrincipalKind.ADMIN_KEY}
_OF_REQUESTS: Final = {EventKind.TOKEN_ISSUED, *COUNTED}


@dataclass(slots=True, kw_only=True)
class Waiting:
    """The events without a seal that one check found, and when a server last ran.

    `now` is None if the current time is unknown.
    """

    now: datetime | None
    _oldest: str = NEVER
    _served_at: str = ""  # time of the newest event that only a server can have written
    _until: str = field(init=False)

    def __post_init__(self) -> None:
        self._until = "" if self.now is None else _iso(self.now - _STARTING)

    def add(self, at: str, *, of_server: bool) -> None:
        """Add an event without a seal, with its time (ISO 8601).

        `of_server` is true if only a server can have written the event.
        """
        self._oldest = min(self._oldest, at)
        if of_server and self._served_at < at <= self._until:
            self._served_at = at

    @property
    def since(self) -> datetime | None:
        """Return the time of the oldest event without a seal if the event has waited too long; else None.

        An event has waited too long after `OVERDUE_AFTER`: a running server would have sealed it by then.
        If `now` is unknown, return None.
        """
        if self.now is None or self._oldest == NEVER:
            return None
        oldest = datetime.fromisoformat(self._oldest)
        return oldest if self.now - oldest > OVERDUE_AFTER else None

    def running_at(self, checkpoint_at: datetime | None) -> datetime | None:
        """Return a time at which a server ran that should have sealed the oldest event; None if no such time is known.

        A server that started within the last minute may be about to seal.
        A server that stopped right after its last event could not seal that event.
        So only an event or a checkpoint from much later shows that a server runs and does not seal.
        """
        if self.since is None or self.now is None:
            return None
        served_at = datetime.fromisoformat(self._served_at) if self._served_at else None
        signed_at = checkpoint_at if checkpoint_at and self.now - checkpoint_at > _STARTING else None
        newest = max(filter(None, (served_at, signed_at)), default=None)
        return newest if newest and newest - self.since > OVERDUE_AFTER else None

    def doubts(self, checkpoint_at: datetime | None) -> Iterator[str]:
        """Report that a running server does not seal events."""
        if self.since and (running_at := self.running_at(checkpoint_at)):
            yield (
                f"Events have been waiting for their seal since {shown_time(self.since)}, although a server was running"
                f" at {shown_time(running_at)}. The server's log says why: fix the cause, and verify again."
            )

    def sealed_before(self, checkpoint_at: datetime | None) -> str:
        """Return the time (ISO 8601) before which each event must have a seal if a server runs; empty if unknown.

        The attack: while no server seals, raw SQL gives an event without a seal a new time before each check.
        But a running server signs a checkpoint each minute.
        So if the newest checkpoint is old, every event must have a seal, however new its time is.
        """
        if self.now is not None and (checkpoint_at is None or checkpoint_at < self.now - CLOCK_TOLERANCE):
            return NEVER
        latest = max(filter(None, (checkpoint_at, self.now)), default=None)
        return "" if latest is None else _iso(latest - CLOCK_TOLERANCE)


@dataclass(slots=True, kw_only=True)
class ActsAhead:
    """The acts without a seal that are dated after the latest time that an event can have at `now`.

    There are two possible causes:

    - The clock of a server is ahead, so the server seals nothing on PostgreSQL. Or the clock of this machine is behind.
    - Raw SQL inserted the act, to explain a changed row.

    The log cannot show which of the two happened. So the checks believe the act, and the report is incomplete. They
    believe no act that is dated more than a day ahead.
    Events of tokens and counted refusals are left out: they explain no row, and the refusals wait for minutes.
    """

    now: datetime | None
    latest: str = field(init=False)  # ISO 8601
    _furthest: str = field(init=False)
    _numbers: int = 0
    _first: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self.latest = NEVER if self.now is None else _iso(self.now + CLOCK_TOLERANCE)
        self._furthest = NEVER if self.now is None else _iso(self.now + _FURTHEST)

    def is_believed(self, number: int, event: Mapping[str, Any]) -> bool:
        """Add an event without a seal that is dated after `latest`. Return whether a server may have written it."""
        if event["at"] > self._furthest:
            return False
        if event["kind"] not in _OF_REQUESTS:
            self._numbers += 1
            self._first = min(self._first or (number, event["at"]), (number, event["at"]))
        return True

    def doubts(self) -> Iterator[str]:
        """Report the acts in a sentence."""
        if self._first is None:
            return
        number, at = self._first[0], shown_time(datetime.fromisoformat(self._first[1]))
        have = "has" if self._numbers == 1 else f"and {self._numbers - 1:,} later events have"
        yield (
            f"Event {number} {have} no seal, and event {number} is dated {at}, after this check. "
            "A server's clock is ahead, or this machine's clock is behind, or somebody inserted the event. "
            "Correct the clock, and verify again."
        )


def is_of_server(event: Mapping[str, Any]) -> bool:
    """Whether only a server can have written the row, and not a command on the server's machine.

    In the events of such commands, the principal is neither an administrator nor an admin key.
    """
    by = event["principal_kind"]
    return by in _OVER_HTTP or (by is None and event["decision"] is not None)


def with_advice(unproved: Sequence[str], more: int) -> Iterator[str]:
    """Yield these sentences about facts that only events without a seal report, the number of others, and advice."""
    yield from unproved
    if more:
        yield f"{more:,} more names and revocations are recorded only by events without a seal."
    if unproved:
        yield "Find out who made these changes: authsec audit show NUMBER. Then start a server, which seals the events."


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
