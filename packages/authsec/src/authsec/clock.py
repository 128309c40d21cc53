"""The machine's clocks as one object, which tests can replace; and elapsed time, measured by two clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clocks of this machine.

    `monotonic` measures durations and cannot be set. `wall` is the time of day and continues while the machine
    sleeps.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def timed(self, call: Callable[[], _T]) -> tuple[_T, float]:
        """Run `call`; return its result and its duration in seconds."""
        began = self.monotonic()
        result = call()
        return result, self.monotonic() - began


@dataclass(frozen=True, slots=True)
class Moment:
    """One point in time on two clocks. `since` measures the elapsed time on both, and returns the longer duration.

    Monotonic time stops while a machine sleeps, and wall time can be set back.
    """

    monotonic: float
    wall: float


def moment(clock: Clock) -> Moment:
    """Return the current time on both clocks."""
    return Moment(clock.monotonic(), clock.wall())


def since(earlier: Moment, clock: Clock) -> float:
    """Return the seconds elapsed since `earlier`: the longer of the durations on the two clocks."""
    passed, by_the_wall = clock.monotonic() - earlier.monotonic, clock.wall() - earlier.wall
    return passed if passed > by_the_wall else by_the_wall  # faster than `max`, and called for each token
