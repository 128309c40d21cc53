"""Rate limits by the generic cell rate algorithm: one theoretical arrival time per key. Callers pass the time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from authsec_server.web.errors import TooOften

MAX_KEYS = 100_000
SWEPT_EVERY = 1.0  # seconds: looking through all keys at each of a flood of them would be the flood's work


class Limiter:
    """A rate limit: at most `most` events per key in `seconds` (default: one minute), in a burst or evenly.

    The limiter keeps a key only while the key affects a limit, and at most `max_keys` keys. A flood of invented
    keys therefore uses bounded memory. Beyond `max_keys`, the limiter refuses a new key: dropping an old key
    would let a flood cancel the limits of others. Keeping so many keys alive needs more requests than a server
    can answer.
    """

    def __init__(self, most: int, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._interval = seconds / most  # that one event uses up
        self._arrivals: dict[str, float] = {}
        self._max_keys = max_keys
        self._sweep_at = float("-inf")
        self._lock = threading.Lock()

    def charge(self, key: str, now: float) -> float:
        """Count one event at `now` (seconds, monotonic). Return 0.0, or the seconds to wait if it exceeds the limit."""
        with self._lock:
            if wait := self._wait(key, now):
                return wait  # refused events cost nothing more: who keeps knocking is let in when the time has come
            self._arrivals[key] = self._arrival(key, now) + self._interval
            return 0.0

    def give_back(self, key: str) -> None:
        """Take back one counted event that the limit does not apply to."""
        with self._lock:
            if key in self._arrivals:
                self._arrivals[key] -= self._interval

    def wait(self, key: str, now: float) -> float:
        """Return the result of `charge` without counting. For limits on failures, which `charge` counts later."""
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
    """A rate limit of requests. Beyond the limit, a request is counted as refused, and `TooOften` has `message`.

    `monotonic` returns seconds. The limit itself is that of a `Limiter`.
    """

    def __init__(self, most: int, message: str, *, monotonic: Callable[[], float], seconds: int = 60) -> None:
        self._limiter = Limiter(most, seconds=seconds)
        self._message = message
        self._monotonic = monotonic

    def charge(self, key: str, *, count_refusal: Callable[[], None] = lambda: None) -> None:
        """Charge one request to the key. Beyond the limit, count the refusal, then raise `TooOften`.

        An error of `count_refusal` is raised instead, so that no refusal lacks its record.
        """
        if wait := self._limiter.charge(key, self._monotonic()):
            count_refusal()
            raise TooOften(self._message, wait)

    def give_back(self, key: str) -> None:
        """Take back one charged request that the limit does not apply to."""
        self._limiter.give_back(key)


class Recently:
    """A record of actions in the last `seconds` (default: one minute), so that callers can skip repetitions.

    With more than `max_keys` keys, the oldest one is forgotten. The caller then repeats an action too early, but
    never skips one too long.
    """

    def __init__(self, *, seconds: int = 60, max_keys: int = MAX_KEYS) -> None:
        self._seconds = seconds
        self._done: OrderedDict[str, float] = OrderedDict()
        self._max_keys = max_keys
        self._lock = threading.Lock()

    def __call__(self, key: str, now: float) -> bool:
        """Whether the action was done within the last `seconds`."""
        with self._lock:
            return now - self._done.get(key, float("-inf")) < self._seconds

    def done(self, key: str, now: float) -> None:
        """Record that the action was done at `now` (seconds, monotonic)."""
        with self._lock:
            self._done[key] = now
            self._done.move_to_end(key)
            if len(self._done) > self._max_keys:
                self._done.popitem(last=False)
