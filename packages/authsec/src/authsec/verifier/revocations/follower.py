"""The thread that follows a feed, one for all verifiers. It runs as long as at least one verifier has a lease."""

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
_BUSY_TRIES: Final = 4  # tries of about a second in total, before the first try is reported as failed
LIVED: Final = 1.0  # seconds: a longer run counts as a success, so the pauses start again at the shortest

_FAILURES: Final = (DocumentRefused, BatchRefused, KeysUnavailable)


class Follower:
    """Keeps `feed` up to date from `source`, in a daemon thread.

    `ensure` starts the thread. A forked child does not have the thread and must start its own. `jitter` returns a
    random number from 0 to 1. After a restart of the authority, this number spreads the retries of all followers.
    """

    def __init__(
        self, feed: Feed, source: Source, leases: Leases, *, clock: Clock, jitter: Callable[[], float]
    ) -> None:
        self.feed = feed
        self._source = source
        self._leases = leases
        self._clock = clock
        self._jitter = jitter
        self._following: bool  # whether the thread runs; read for each token, and faster than `Thread.is_alive`
        self._thread: threading.Thread | None
        self._starting: threading.Lock
        self._reset()

    def lease(self, terms: LeaseTerms, credential: str | None = None) -> Lease:
        """Return a lease on the feed for one verifier.

        The lease ends when it is garbage-collected, or when `release` is called.
        """
        return self._leases.acquire(terms, credential)

    def release(self, lease: Lease) -> None:
        """End a lease. If it was the last one, stop the thread at once."""
        self._leases.release(lease)
        thread = self._thread
        if self._leases or thread is None:
            return
        self._run.stop()
        self._source.stop()
        thread.join(1.0)

    def ensure(self) -> None:
        """Start the thread if it does not run. If it runs, the call costs almost nothing."""
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
            except RuntimeError:  # No thread can start: the interpreter is ending, or a limit is reached.
                self._following = False
                run.fail("no thread can be started")
            else:
                self._thread = thread

    def settle(self, patience: float) -> None:
        """Wait until the first try has succeeded or failed, for `patience` seconds at most."""
        self._run.settle(patience)

    @property
    def settled(self) -> bool:
        """Whether the first try has succeeded or failed."""
        return self._run.settled

    @property
    def connected(self) -> bool:
        """Whether the last try succeeded."""
        return self._run.connected

    @property
    def failure(self) -> str | None:
        """The reason for the last failure; None if the last try succeeded."""
        return self._run.failure

    @property
    def role(self) -> str:
        """A text that says where the revocations come from: the authority, or the file of another worker."""
        return self._run.role

    def log_lasting_failure(self) -> None:
        """Log a failure that lasts, or revocations that have become too old for a verifier."""
        self._run.log.log_lasting_failure()

    def forked(self) -> None:
        """Reset the follower in a forked child: the thread and the source's connections belong to the parent."""
        self._source.forget()
        self._reset()

    def _reset(self) -> None:
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
            self._source.close()
        finally:
            self._following = False  # Last, because a new thread may use the source from now on.

    def _keep_following(self, run: Run) -> None:
        tries = busy = 0
        while not run.is_over:
            began = self._clock.monotonic()
            try:
                pause = self._source.follow(run)
                tries = 0
            except _FAILURES as error:
                if run.is_over:
                    break
                tries = 0 if self._clock.monotonic() - began > LIVED else tries
                pause = self._pause(tries)
                busy += isinstance(error, DocumentBusy)
                if run.settled or not isinstance(error, DocumentBusy) or busy > _BUSY_TRIES:
                    run.fail(str(error))
            except Exception as error:  # noqa: BLE001 - the thread must not end; without batches, the feed becomes stale
                pause = LONGEST_PAUSE
                run.fail(f"following the feed failed inside the program ({type(error).__name__})")
            tries += 1
            if run.settled:
                run.log.log_lasting_failure()
            run.wait(pause)

    def _pause(self, tries: int) -> float:
        longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(tries, 10))
        return longest * (0.5 + 0.5 * self._jitter())


class Run:
    """One run of the follower's thread, from start to end.

    `settled` means that the first try has succeeded or failed. Three attributes are for monitoring: `connected`,
    `failure` (the reason for the last failure) and `role` (where the revocations come from). `log` writes
    failures and their end to the log.
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
    def is_over(self) -> bool:
        """Whether the run was stopped or the last lease has ended."""
        return self._stop.is_set() or not self._leases

    def stop(self) -> None:
        """Stop the run. Another thread calls this method."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Sleep for this number of seconds, or until the run is stopped."""
        self._stop.wait(seconds)

    def settle(self, patience: float) -> None:
        """Wait until the first try has succeeded or failed, for `patience` seconds at most."""
        self._tried.wait(patience)

    def take(self, octets: bytes) -> bool:
        """Apply a batch from the authority. Return whether the feed is complete after it. Raises like `Feed.take`."""
        complete = self.feed.take(octets).complete
        if complete:
            self._succeed()
        return complete

    def apply_shared(self, octets: bytes) -> bool:
        """Apply a batch from the shared file. Return whether the feed is complete after it.

        Raises like `Feed.apply_shared`.
        """
        complete = self.feed.apply_shared(octets)
        if complete:
            self._succeed()
        return complete

    def _succeed(self) -> None:
        self.connected, self.failure = True, None
        self.log.record_recovery()
        self._settle()

    def fail(self, why: str) -> None:
        """Record the reason for a failure. If the same failure repeats, it is logged only once."""
        if why != self.failure:
            self.log.record_failure(why)
        self.connected, self.failure = False, why
        self._settle()

    def _settle(self) -> None:
        self.settled = True
        self._tried.set()


class Source(Protocol):
    """A source of batches: the authority, or a file that another worker writes."""

    def follow(self, run: Run) -> float:
        """Pass batches to the run until an interruption. Return the seconds to wait before the next call."""

    def stop(self) -> None:
        """Interrupt the wait for the next batch. Another thread calls this method."""

    def close(self) -> None:
        """Close all files and connections, because the run has ended."""

    def forget(self) -> None:
        """In a forked child, close the copies of the parent's files and connections. Nothing is sent."""
