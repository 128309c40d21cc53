"""Rate limits by the generic cell rate algorithm, which stores one theoretical arrival time for each key."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from authsec_server.web.errors import TooOften

MAX_KEYS = 100_000
SWEPT_EVERY = 1.0  # seconds between sweeps: a sweep at each event would make a flood of keys expensive


LEAST_FAILURES: Final = 3


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one server process in a limit that `workers` processes on one port have together.

    Each process counts alone. A client with one connection reaches one process, so it gets one share.
    """

    workers: int = 1

    def of(self, most: int) -> int:
        """Return the share, rounded up."""
        return -(-most // self.workers)

    def of_failures(self, most: int) -> int:
        """Return the share in a limit of failures, at least `LEAST_FAILURES`: people mistype more than once."""
        return min(most, max(LEAST_FAILURES, self.of(most)))


WHOLE: Final = Share()


class Limiter:
    """A rate limit: at most `most` events for each key in `seconds` (default: one minute).

    The events may come all together, or spread over the time.

    The limiter stores at most `max_keys` keys, and drops a key as soon as the key has no effect. A flood of
    invented keys therefore uses limited memory. At `max_keys`, the limiter refuses a new key. If the limiter
    dropped an old key instead, a flood could cancel the limits of others. A flood that fills the limiter all the
    time needs more requests than a server can answer.
    """

    def __init__(self, most: int, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._interval = seconds / most  # seconds that one event uses
        self._arrivals: dict[str, float] = {}
        self._max_keys = max_keys
        self._sweep_at = float("-inf")
        self._lock = threading.Lock()

    def charge(self, key: str, now: float) -> float:
        """Count one event at `now` (seconds, monotonic) and return 0.0.

        If the event exceeds the limit, return the seconds to wait instead. An event above the limit is not counted.
        """
        with self._lock:
            if wait := self._wait(key, now):
                return wait  # a refused event does not extend the wait
            self._arrivals[key] = self._arrival(key, now) + self._interval
            return 0.0

    def refund(self, key: str) -> None:
        """Undo the count of one event, because the limit does not apply to it.

        For example, a limit on failures does not apply to an attempt that succeeded.
        """
        with self._lock:
            if key in self._arrivals:
                self._arrivals[key] -= self._interval

    def wait(self, key: str, now: float) -> float:
        """Return what `charge` would return, without counting an event.

        This method is for limits on failures: `charge` counts an attempt later, after the attempt has failed.
        """
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


class Throttle:
    """A rate limit of requests that raises `TooOften` with `message`. The algorithm is that of `Limiter`.

    `monotonic` returns the time in seconds.
    """

    def __init__(self, most: int, message: str, *, monotonic: Callable[[], float], seconds: int = 60) -> None:
        self._limiter = Limiter(most, seconds=seconds)
        self._message = message
        self._monotonic = monotonic

    def charge(self, key: str, *, count_refusal: Callable[[], None] = lambda: None) -> None:
        """Count one request for the key. Above the limit, call `count_refusal` and then raise `TooOften`.

        If `count_refusal` fails, its own error is raised instead of `TooOften`. Thus no refusal lacks a record.
        """
        if wait := self._limiter.charge(key, self._monotonic()):
            count_refusal()
            raise TooOften(self._message, wait)

    def refund(self, key: str) -> None:
        """Undo the count of one request, because the limit does not apply to it."""
        self._limiter.refund(key)


class Recently:
    """A record of the actions of the last `seconds` (default: one minute).

    A caller can skip an action that the record contains. Above `max_keys` keys, the record drops the oldest key.
    The caller then repeats that action too early, but never skips an action for too long.
    """

    def __init__(self, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._done: OrderedDict[str, float] = OrderedDict()
        self._max_keys = max_keys
        self._lock = threading.Lock()

    def __call__(self, key: str, now: float) -> bool:
        """Whether the action of this key was done in the last `seconds` before `now`."""
        with self._lock:
            return now - self._done.get(key, float("-inf")) < self._seconds

    def done(self, key: str, now: float) -> None:
        """Record that the action was done at `now` (seconds, monotonic)."""
        with self._lock:
            self._done[key] = now
            self._done.move_to_end(key)
            if len(self._done) > self._max_keys:
                self._done.popitem(last=False)
