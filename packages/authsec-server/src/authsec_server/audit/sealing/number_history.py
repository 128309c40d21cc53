"""The event numbers and the size of the sealed log at the past passes of a sealer. Pure.

A row of the database cannot prove that it existed minutes ago: raw SQL can write any number and any time.
So the sealer itself remembers numbers and sizes at each pass. This stops two attacks:

- Raw SQL moves an old seal to the number of a new event, so that the event looks sealed. But the old seal has a place
  that was taken before the number existed.
- Raw SQL gives an old counted refusal a new time, so that the sealer does not seal it. But its number existed before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from authsec_server.audit.sealing.seal_places import SealPlaces

_APART: Final = timedelta(seconds=10)  # least time between two marks, except before the newest mark
_MOST: Final = 1000  # marks; if there are more, every second mark is deleted


@dataclass(frozen=True, slots=True)
class _Mark:
    """At the time `at`, the first `size` leaves had no number above `top`."""

    at: datetime
    size: int
    top: int


@dataclass(slots=True)
class NumberHistory:
    """The marks of one sealer.

    There are no marks when the process starts. Then a seal can have the place of any verified leaf.
    """

    _marks: list[_Mark] = field(default_factory=list)

    def add(self, at: datetime, size: int, top: int) -> None:
        """Remember that the first `size` leaves have no number above `top` at this time."""
        if len(self._marks) > 1 and self._marks[-1].at - self._marks[-2].at < _APART:
            self._marks.pop()
        self._marks.append(_Mark(at, size, top))
        if len(self._marks) > _MOST:
            self._marks = self._marks[::2]

    def seal_places(self, after: int, size: int) -> SealPlaces:
        """Return the places that seals can have in a log of `size` leaves, for events numbered above `after`."""
        first = max((mark.size for mark in self._marks if mark.top <= after), default=0)
        if not self._marks:
            return SealPlaces(size=size)
        return SealPlaces(size=size, first=first, top=self._marks[-1].top, first_above=self._marks[-1].size)

    def top_at(self, time: datetime) -> int:
        """Return the highest number that existed at this time; 0 if that is unknown."""
        return next((mark.top for mark in reversed(self._marks) if mark.at <= time), 0)
