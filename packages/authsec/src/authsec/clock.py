"""Time as an argument: what this package knows about clocks, so that tests can hold them."""

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
        """What `call` returns, and how many seconds it took."""
        began = self.monotonic()
        result = call()
        return result, self.monotonic() - began
