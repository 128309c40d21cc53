"""Events without a seal: which of them would a running server have sealed by now? Pure.

A server seals an event within a second, and a refusal counted by the minute within ten minutes.
An older event without a seal was written while no server ran, or was inserted later and backdated.
The log cannot show which of the two it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from authsec_server.audit.sealing.service import OVERDUE_AFTER
from authsec_server.audit.sealing.trail import CLOCKS
from authsec_server.principal import PrincipalKind

NEVER: Final = "~"  # sorts behind all instants: no event is dated so late
_STARTING: Final = timedelta(minutes=1)  # a server that starts has sealed what it found by then, or nearly always
_OVER_HTTP: Final = {PrincipalKind.ADMINISTRATOR, PrincipalKind.ADMIN_KEY}


@dataclass(slots=True, kw_only=True)
class Waiting:
    """The events without a seal in one check, and the time in which servers ran. `now` may be unknown."""

    now: datetime | None
    _oldest: str = NEVER
    _served_at: str = ""  # the time of the newest one that only a server can have written
    _until: str = field(init=False)

    def __post_init__(self) -> None:
        self._until = "" if self.now is None else _iso(self.now - _STARTING)

    def add(self, at: str, *, of_server: bool) -> None:
        """Add an event without a seal, of that time (ISO 8601)."""
        self._oldest = min(self._oldest, at)
        if of_server and self._served_at < at <= self._until:
            self._served_at = at

    @property
    def since(self) -> datetime | None:
        """Return the oldest event's time, if a server that ran for some minutes would have sealed the event."""
        if self.now is None or self._oldest == NEVER:
            return None
        oldest = datetime.fromisoformat(self._oldest)
        return oldest if self.now - oldest > OVERDUE_AFTER else None

    def running_at(self, checkpoint_at: datetime | None) -> datetime | None:
        """Return a time at which a server ran that should have sealed the oldest event; None if nothing shows one.

        A server started within the last minute may be about to seal.
        A server stopped right after its last event left that event without a seal.
        So only something written much later shows that a server does not seal.
        """
        if self.since is None or self.now is None:
            return None
        served_at = datetime.fromisoformat(self._served_at) if self._served_at else None
        signed_at = checkpoint_at if checkpoint_at and self.now - checkpoint_at > _STARTING else None
        newest = max(filter(None, (served_at, signed_at)), default=None)
        return newest if newest and newest - self.since > OVERDUE_AFTER else None

    def sealed_before(self, checkpoint_at: datetime | None) -> str:
        """Return the time (ISO 8601) before which all events have a seal if a server runs; empty if unknown.

        The attack: no server seals, and an event without a seal gets a new date before each check.
        A running server signs a checkpoint each minute. So if the newest checkpoint is old, no event is new enough.
        """
        if self.now is not None and (checkpoint_at is None or checkpoint_at < self.now - CLOCKS):
            return NEVER
        latest = max(filter(None, (checkpoint_at, self.now)), default=None)
        return "" if latest is None else _iso(latest - CLOCKS)


def is_of_server(event: Mapping[str, Any]) -> bool:
    """Whether only a server can have written the row.

    Commands on the server's machine record neither an administrator nor an admin key as the principal.
    """
    by = event["principal_kind"]
    return by in _OVER_HTTP or (by is None and event["decision"] is not None)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
