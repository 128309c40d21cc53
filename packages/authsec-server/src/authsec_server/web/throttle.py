"""Rate limits: the generic cell rate algorithm, one theoretical arrival time per key. No clock of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict

MAX_KEYS = 100_000
SWEPT_EVERY = 1.0  # seconds: looking through all keys at each of a flood of them would be the flood's work


class Limiter:
    """At most so many events and key in `seconds`, which is a minute, as a burst or spread out.

    Keys are kept for as long as they matter, and at most `max_keys`, so that a flood of made-up keys costs no memory.
    Past that a new one is refused: to forget an old one would let a flood undo the limits of others. To keep so many
    alive takes more requests than a server answers.
    """

    def __init__(self, most: int, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._interval = seconds / most  # that one event uses up
        self._arrivals: dict[str, float] = {}
        self._max_keys = max_keys
        self._sweep_at = float("-inf")
        self._lock = threading.Lock()

    def charge(self, key: str, now: float) -> float:
        """Count one event at `now` (seconds, monotonic). 0.0: within the limit; else the seconds until it would be."""
        with self._lock:
            if wait := self._wait(key, now):
                return wait  # refused events cost nothing more: who keeps knocking is let in when the time has come
            self._arrivals[key] = self._arrival(key, now) + self._interval
            return 0.0

    def give_back(self, key: str) -> None:
        """Take back one event that was charged: it turned out to be none of those that are limited."""
        with self._lock:
            if key in self._arrivals:
                self._arrivals[key] -= self._interval

    def wait(self, key: str, now: float) -> float:
        """What `charge` would answer, with nothing counted: for limits on failures, charged once they have happened."""
        with self._lock:
            return self._wait(key, now)

    def _wait(self, key: str, now: float) -> float:
        if wait := self._until_there_is_room(key, now):
            return wait
        wait = self._arrival(key, now) + self._interval - now - self._seconds
        return wait if wait > 1e-9 else 0.0

    def _arrival(self, key: str, now: float) -> float:
        return max(self._arrivals.get(key, now), now)

    def _until_there_is_room(self, key: str, now: float) -> float:
        if key in self._arrivals or len(self._arrivals) < self._max_keys:
            return 0.0
        if now >= self._sweep_at:
            self._arrivals = {each: arrival for each, arrival in self._arrivals.items() if arrival > now}
            self._sweep_at = now + SWEPT_EVERY
        return self._sweep_at - now if len(self._arrivals) >= self._max_keys else 0.0


class Recently:
    """What was done within the last minute, and need not be done again yet. Nobody is refused by it.

    Of more than `max_keys` the one that was done longest ago is forgotten: it is done once too often, never too seldom.
    """

    def __init__(self, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._done: OrderedDict[str, float] = OrderedDict()
        self._max_keys = max_keys
        self._lock = threading.Lock()

    def __call__(self, key: str, now: float) -> bool:
        """Whether this was done so short a time ago."""
        with self._lock:
            return now - self._done.get(key, float("-inf")) < self._seconds

    def done(self, key: str, now: float) -> None:
        """It was done at `now` (seconds, monotonic)."""
        with self._lock:
            self._done[key] = now
            self._done.move_to_end(key)
            if len(self._done) > self._max_keys:
                self._done.popitem(last=False)
