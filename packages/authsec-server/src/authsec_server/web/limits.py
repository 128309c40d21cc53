"""Rate limits: the generic cell rate algorithm, one theoretical arrival time per key. No clock of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict


class Limiter:
    """At most so many events and key in `seconds`, which is a minute, as a burst or spread out.

    Keys are kept for as long as they matter, and at most `max_keys`: past that the one seen longest ago is forgotten,
    so that a flood of made-up keys costs no memory.
    """

    def __init__(self, most: int, *, seconds: int = 60, max_keys: int = 100_000) -> None:
        self._seconds = seconds
        self._interval = seconds / most  # that one event uses up
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        self._max_keys = max_keys
        self._lock = threading.Lock()

    def charge(self, key: str, now: float) -> float:
        """Count one event at `now` (seconds, monotonic). 0.0: within the limit; else the seconds until it would be."""
        with self._lock:
            arrival = self._arrival(key, now)
            if wait := self._wait(arrival, now):
                return wait  # refused events cost nothing more: who keeps knocking is let in when the time has come
            self._arrivals[key] = arrival + self._interval
            self._arrivals.move_to_end(key)
            if len(self._arrivals) > self._max_keys:
                self._arrivals.popitem(last=False)
            return 0.0

    def give_back(self, key: str) -> None:
        """Take back one event that was charged: it turned out to be none of those that are limited."""
        with self._lock:
            if key in self._arrivals:
                self._arrivals[key] -= self._interval

    def wait(self, key: str, now: float) -> float:
        """What `charge` would answer, with nothing counted: for limits on failures, charged once they have happened."""
        with self._lock:
            return self._wait(self._arrival(key, now), now)

    def _arrival(self, key: str, now: float) -> float:
        return max(self._arrivals.get(key, now), now)

    def _wait(self, arrival: float, now: float) -> float:
        wait = arrival + self._interval - now - self._seconds
        return wait if wait > 1e-9 else 0.0
