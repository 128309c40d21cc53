"""Time as an argument, so that tests can set the clocks; and how long ago something was, by two of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`monotonic` measures durations and is never set; `wall` is the time of day and goes on while a machine sleeps."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def timed(self, call: Callable[[], _T]) -> tuple[_T, float]:
        """The result of `call`, and how many seconds it took."""
        began = self.monotonic()
        result = call()
        return result, self.monotonic() - began


@dataclass(frozen=True, slots=True)
class Moment:
    """Monotonic time stops while a machine sleeps, wall time can be set back: the longer of the two has passed."""

    monotonic: float
    wall: float


def moment(clock: Clock) -> Moment:
    """Now."""
    return Moment(clock.monotonic(), clock.wall())


def since(earlier: Moment, clock: Clock) -> float:
    """Seconds that have passed."""
    passed, by_the_wall = clock.monotonic() - earlier.monotonic, clock.wall() - earlier.wall
    return passed if passed > by_the_wall else by_the_wall  # for `max` each token would wait
