"""Events without a seal: which of them a running server would have sealed by now. Pure.

A server seals within a second, a refusal that is counted by the minute within ten minutes. So an older event without a
seal was written while no server ran, or inserted later and dated back: nobody can say which.
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
    """The events without a seal that one check met, and the time in which servers ran. `now` may be unknown."""

    now: datetime | None
    _oldest: str = NEVER
    _served_at: str = ""  # the time of the newest one that only a server can have written
    _until: str = field(init=False)

    def __post_init__(self) -> None:
        self._until = "" if self.now is None else _iso(self.now - _STARTING)

    def add(self, at: str, *, of_server: bool) -> None:
        """Take in an event without a seal, of that time (ISO 8601)."""
        self._oldest = min(self._oldest, at)
        if of_server and self._served_at < at <= self._until:
            self._served_at = at

    @property
    def since(self) -> datetime | None:
        """The time of the oldest one, if it would have its seal had a server run for some minutes."""
        if self.now is None or self._oldest == NEVER:
            return None
        oldest = datetime.fromisoformat(self._oldest)
        return oldest if self.now - oldest > OVERDUE_AFTER else None

    def running_at(self, head_at: datetime | None) -> datetime | None:
        """When a server ran that had sealed the oldest one, if it sealed; None where nothing shows one.

        A server that was started within the last minute may be about to seal. One that was stopped right after its last
        event left it without a seal: only what was written much later shows that a server does not seal.
        """
        if self.since is None or self.now is None:
            return None
        served_at = datetime.fromisoformat(self._served_at) if self._served_at else None
        signed_at = head_at if head_at and self.now - head_at > _STARTING else None
        newest = max(filter(None, (served_at, signed_at)), default=None)
        return newest if newest and newest - self.since > OVERDUE_AFTER else None

    def sealed_before(self, head_at: datetime | None) -> str:
        """Events dated before that time (ISO 8601) have a seal, if a server runs. Empty where nothing says the time.

        The attack: no server seals, and an event without a seal is dated anew before each check. A running server signs
        a head each minute. So no event is new enough where the newest head is old.
        """
        if self.now is not None and (head_at is None or head_at < self.now - CLOCKS):
            return NEVER
        latest = max(filter(None, (head_at, self.now)), default=None)
        return "" if latest is None else _iso(latest - CLOCKS)


def is_of_server(event: Mapping[str, Any]) -> bool:
    """Whether only a server can have written the row: commands on the server's machine are no other principal's."""
    by = event["principal_kind"]
    return by in _OVER_HTTP or (by is None and event["decision"] is not None)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
