"""Events that were sealed long after their time. Pure.

There are three causes: no server sealed at that time, an event was backdated, or raw SQL deleted checkpoints.
A server seals an event within a second, and a refusal counted by the minute within ten minutes.
The log cannot show which cause it was.
An operator can find out from the times when servers were stopped, or from checkpoints kept elsewhere.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from authsec_server.audit.sealing.checkpoints import Checkpoint

LATE: Final = timedelta(minutes=15)
MOST: Final = 10_000  # groups that are kept. Somebody needs a minute for each one


@dataclass(slots=True, kw_only=True)
class LateSeals:
    """A group of `events` events that were sealed late, numbered from `first` to `last`.

    `oldest` is the time of the earliest one. The first checkpoint that covers them was signed at `sealed_at`.
    """

    sealed_at: datetime
    first: int
    last: int
    oldest: str  # ISO 8601
    events: int = 1

    def add(self, number: int, at: str) -> None:
        """Add another event to the group."""
        self.events += 1
        self.first, self.last = min(self.first, number), max(self.last, number)
        self.oldest = min(self.oldest, at)


@dataclass(slots=True)
class LateSealsWatch:
    """Collects late seals. Pass each sealed event in the order of the log, with the first checkpoint that covers it.

    `found` has one group for each checkpoint, for the newest `MOST` checkpoints. `more` counts the events of earlier
    groups. Keeping the newest groups matters: many late events must not hide the next one.
    """

    found: deque[LateSeals] = field(default_factory=deque)
    more: int = 0
    _checkpoint: Checkpoint | None = None
    _in_time: str = ""  # events of this time and later are sealed in time

    def meet(self, number: int, at: str, checkpoint: Checkpoint) -> None:
        """Check an event of that time (ISO 8601, UTC, to the microsecond)."""
        if checkpoint is not self._checkpoint:
            self._checkpoint = checkpoint
            self._in_time = (checkpoint.at - LATE).isoformat(timespec="microseconds")
        if at >= self._in_time:
            return
        if self.found and self.found[-1].sealed_at == checkpoint.at:
            self.found[-1].add(number, at)
            return
        self.found.append(LateSeals(sealed_at=checkpoint.at, first=number, last=number, oldest=at))
        if len(self.found) > MOST:
            self.more += self.found.popleft().events
