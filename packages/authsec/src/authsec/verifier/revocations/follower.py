"""The thread that follows a feed: one for all who need it, for as long as anybody does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from authsec.clock import Clock
from authsec.errors import KeysUnavailable
from authsec.verifier.documents import DocumentBusy, DocumentRefused
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.leases import Lease, Leases, LeaseTerms
from authsec.verifier.revocations.log import FeedLog
from authsec.verifier.revocations.state import Feed

SHORTEST_PAUSE: Final = 0.1  # seconds before the second try
LONGEST_PAUSE: Final = 2.0
_BUSY_TRIES: Final = 4  # a second or so, before those who wait for the first try are told that it failed
LIVED: Final = 1.0  # seconds: what was well for so long did not fail again, but anew

_FAILURES: Final = (DocumentRefused, BatchRefused, KeysUnavailable)


class Follower:
    """Keeps `feed` up to date from `source` in a daemon thread, which `ensure` starts and a fork leaves behind.

    `jitter` is a random number from 0 to 1, so that those whom a restart cut off do not all come back at once.
    """

    def __init__(
        self, feed: Feed, source: Source, leases: Leases, *, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self.feed = feed
        self._source = source
        self._leases = leases
        self._clock = clock
        self._jitter = jitter
        self._following: bool  # from a thread's start to its end: asked for each token, so not asked of the thread
        self._thread: threading.Thread | None
        self._starting: threading.Lock
        self._begin_anew()

    def lease(self, terms: LeaseTerms, credential: str | None = None) -> Lease:
        """Have the feed followed for an API, for as long as the lease lives, or until `release`."""
        return self._leases.acquire(terms, credential)

    def release(self, lease: Lease) -> None:
        """Give a lease back; with the last one the thread ends at once."""
        self._leases.release(lease)
        thread = self._thread
        if self._leases or thread is None:
            return
        self._run.stop()
        self._source.stop()
        thread.join(1.0)

    def ensure(self) -> None:
        """Have the thread running. Costs next to nothing if it is."""
        if self._following:
            return
        with self._starting:
            if self._following:
                return
            self._run = run = self._new_run()
            name = f"authsec-revocations {self.feed.issuer}"
            thread = threading.Thread(target=self._live, args=(run,), name=name, daemon=True)
            self._following = True
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or a limit is reached
                self._following = False
                run.fail("no thread is to be had")
            else:
                self._thread = thread

    def settle(self, patience: float) -> None:
        """Wait until the first try has succeeded or failed."""
        self._run.settle(patience)

    @property
    def settled(self) -> bool:
        """Whether there has been a first try."""
        return self._run.settled

    @property
    def connected(self) -> bool:
        """Whether the last try succeeded."""
        return self._run.connected

    @property
    def failure(self) -> str | None:
        """Why it failed; None if it did not."""
        return self._run.failure

    @property
    def role(self) -> str:
        """Where the feed is known from."""
        return self._run.role

    def look(self) -> None:
        """Have it told in the log if what is known has become too old."""
        self._run.log.look()

    def forked(self) -> None:
        """In the child: there is no thread here, and what the source holds is the parent's."""
        self._source.forget()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._following = False
        self._thread = None
        self._starting = threading.Lock()
        self._run = self._new_run()

    def _new_run(self) -> Run:
        return Run(self.feed, self._leases, FeedLog(self.feed, self._leases, self._clock))

    def _live(self, run: Run) -> None:
        try:
            self._keep_following(run)
            run.connected = False
            self._source.rest()
        finally:
            self._following = False  # last: another thread must not find the source in use

    def _keep_following(self, run: Run) -> None:
        tries = busy = 0
        while not run.over:
            began = self._clock.monotonic()
            try:
                pause = self._source.follow(run)
                tries = 0
            except _FAILURES as error:
                if run.over:
                    break
                tries = 0 if self._clock.monotonic() - began > LIVED else tries
                pause = self._pause(tries)
                busy += isinstance(error, DocumentBusy)
                if run.settled or not isinstance(error, DocumentBusy) or busy > _BUSY_TRIES:
                    run.fail(str(error))
            except Exception as error:  # noqa: BLE001 - the thread must live on, and the feed grows old meanwhile
                pause = LONGEST_PAUSE
                run.fail(f"following it failed inside the program ({type(error).__name__})")
            tries += 1
            if run.settled:
                run.log.look()
            run.wait(pause)

    def _pause(self, tries: int) -> float:
        longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(tries, 10))
        return longest * (0.5 + 0.5 * self._jitter())


class Run:
    """From the thread's start to its end.

    `settled`: there has been a first try. For whoever watches: `connected`, `failure` (why the last try failed) and
    `role` (where the feed is known from). `log` has the log say so.
    """

    def __init__(self, feed: Feed, leases: Leases, log: FeedLog) -> None:
        self.feed = feed
        self.log = log
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

    def apply_shared(self, octets: bytes) -> bool:
        """Apply a batch of the shared file, or raise as `Feed.apply_shared` does; whether nothing is missing now."""
        complete = self.feed.apply_shared(octets)
        if complete:
            self._succeed()
        return complete

    def _succeed(self) -> None:
        self.connected, self.failure = True, None
        self.log.over()
        self._settle()

    def fail(self, why: str) -> None:
        """Record why the try failed; in the log once, however often it repeats."""
        if why != self.failure:
            self.log.trouble(why)
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
