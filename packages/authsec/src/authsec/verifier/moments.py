"""How long ago something was, by two clocks."""

from __future__ import annotations

from dataclasses import dataclass

from authsec.clock import Clock


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
