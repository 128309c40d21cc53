"""A bound on the threads that wait for a slow issuer, so that the agents of other issuers find one free."""

from __future__ import annotations

import threading


class Waiters:
    """At most so many threads wait at once, and as many as `among` leaves room for. Used from any thread."""

    def __init__(self, at_most: int, *, among: Waiters | None = None) -> None:
        self._free = threading.BoundedSemaphore(at_most)
        self._among = among

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Whether the event was set within that time. Does not wait where too many do already."""
        if event.is_set() or seconds <= 0 or not self._free.acquire(blocking=False):
            return event.is_set()
        try:
            return event.wait(seconds) if self._among is None else self._among.wait(event, seconds)
        finally:
            self._free.release()
