"""Events that were sealed long after their time. Pure.

A server seals an event within a second, and a refusal counted by the minute within ten minutes.
There are three possible causes of a late seal:

- No server sealed at that time.
- Raw SQL gave the event an earlier time.
- Raw SQL deleted checkpoints.

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
MOST: Final = 10_000  # groups in `found`


@dataclass(slots=True, kw_only=True)
class LateSeals:
    """A group of events that were sealed late, with the lowest number `first` and the highest number `last`.

    `events` is the number of events in the group, and `oldest` is the time of the earliest event.
    The first checkpoint that covers the events was signed at `sealed_at`.
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
    """Collects events that were sealed late.

    Pass each sealed event to `check` in the order of the log, with the first checkpoint that covers the event.
    `found` has one group for each checkpoint with late events.
    If there are more than `MOST` groups, the oldest groups are left out, so that they do not hide new ones.
    `more` is the number of events in the groups that are left out.
    """

    found: deque[LateSeals] = field(default_factory=deque)
    more: int = 0
    _checkpoint: Checkpoint | None = None
    _in_time: str = ""  # an event of this time or later was sealed in time

    def check(self, number: int, at: str, checkpoint: Checkpoint) -> None:
        """Add the event to a group if it was sealed late. `at` is its time (ISO 8601, UTC, to the microsecond)."""
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
