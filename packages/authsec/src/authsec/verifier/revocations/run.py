"""One life of the thread that follows a feed: what its source is given, and what becomes known of it."""

from __future__ import annotations

import threading
from typing import Protocol

from authsec.verifier.revocations.feed import Feed
from authsec.verifier.revocations.leases import Leases
from authsec.verifier.revocations.telling import Telling


class Run:
    """From the thread's start to its end.

    `settled`: there has been a first try. For whoever watches: `connected`, `failure` (why the last try failed) and
    `role` (where the feed is known from). `telling` has the log say so.
    """

    def __init__(self, feed: Feed, leases: Leases, telling: Telling) -> None:
        self.feed = feed
        self.telling = telling
        self.settled = False
        self.connected = False
        self.failure: str | None = None
        self.role = "follows"
        self._leases = leases
        self._stop = threading.Event()
        self._tried = threading.Event()

    @property
    def over(self) -> bool:
        """Whether nobody wants it any more."""
        return self._stop.is_set() or not self._leases

    def stop(self) -> None:
        """End it, from another thread."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Sleep, unless it is stopped."""
        self._stop.wait(seconds)

    def settle(self, patience: float) -> None:
        """Wait until the first try has succeeded or failed."""
        self._tried.wait(patience)

    def take(self, octets: bytes) -> bool:
        """Believe a batch, or raise as `Feed.take` does; whether nothing is missing after it."""
        complete = self.feed.take(octets).complete
        if complete:
            self._succeed()
        return complete

    def overhear(self, octets: bytes) -> bool:
        """Believe what somebody else has heard, or raise as `Feed.overhear` does; whether nothing is missing now."""
        complete = self.feed.overhear(octets)
        if complete:
            self._succeed()
        return complete

    def _succeed(self) -> None:
        self.connected, self.failure = True, None
        self.telling.over()
        self._settle()

    def fail(self, why: str) -> None:
        """What is in the way; in the log once, however often it is tried again."""
        if why != self.failure:
            self.telling.trouble(why)
        self.connected, self.failure = False, why
        self._settle()

    def _settle(self) -> None:
        self.settled = True
        self._tried.set()


class Source(Protocol):
    """Where batches come from."""

    def follow(self, run: Run) -> float:
        """Have the run take what comes, until something is in the way; the seconds after which to go on."""

    def stop(self) -> None:
        """End a wait for what comes next, from another thread."""

    def rest(self) -> None:
        """Let go of everything, since the run is over."""

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's, without a word to anybody."""
