"""The thread that follows a feed: one for all who ask, for as long as there is one who asks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from authsec.clock import Clock
from authsec.errors import KeysUnavailable
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.revocations.entries import BatchRefused
from authsec.verifier.revocations.feed import Feed
from authsec.verifier.revocations.stream import SILENCE, NoStream, Stream

_log = logging.getLogger("authsec.verifier")

SHORTEST_PAUSE: Final = 0.1  # seconds before the second try
LONGEST_PAUSE: Final = 5.0
POLL_PAUSE: Final = 1.0  # between two pages, where no stream gets through
STREAM_AGAIN: Final = 60.0  # after which a stream is tried again
PAGE: Final = 1000  # entries
_CUT_TOO_OFTEN: Final = (
    3  # streams in a row, each cut before it was SILENCE old: somebody on the way does not like them
)

_FAILURES: Final = (DocumentRefused, BatchRefused, KeysUnavailable)


class Lease:
    """Somebody who wants the feed followed. The thread ends when none is left, so it is not held anywhere else."""

    __slots__ = ("__weakref__",)


class Follower:
    """Keeps `feed` up to date in a daemon thread, which `ensure` starts and a fork leaves behind.

    `address` finds where the feed is, `page` gets a page of it, `stream` makes a connection. `jitter` is a random
    number from 0 to 1, so that those whom a restart cut off do not all come back at once.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        address: Callable[[], str],
        page: Callable[[str], bytes],
        stream: Callable[[], Stream],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self.feed = feed
        self.connected = False
        self.failure: str | None = None  # why the last try failed; None if it did not
        self._address = address
        self._page = page
        self._make_stream = stream
        self._clock = clock
        self._jitter = jitter
        self._leases: WeakSet[Lease] = WeakSet()
        self._where: str | None = None
        self._stream: Stream | None = None
        self._cut = 0
        self._pages_until = 0.0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._begin_anew()

    def lease(self) -> Lease:
        """Have the feed followed for as long as the lease lives, or until `release`."""
        lease = Lease()
        self._leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease back; with the last one the thread ends at once."""
        self._leases.discard(lease)
        thread = self._thread
        if self._leases or thread is None:
            return
        self._stop.set()
        if self._stream is not None:
            self._stream.stop()
        thread.join(1.0)

    def ensure(self) -> None:
        """Have the thread running. Costs next to nothing if it is."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            self._stop = threading.Event()
            self._tried = threading.Event()
            name = f"authsec-revocations {self.feed.issuer}"
            thread = threading.Thread(target=self._run, args=(self._stop,), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or a limit is reached
                self._fail("no thread is to be had")
            else:
                self._thread = thread

    def settle(self, patience: float) -> None:
        """Wait until the first try has succeeded or failed."""
        self._tried.wait(patience)

    @property
    def settled(self) -> bool:
        """Whether there has been a first try."""
        return self._tried.is_set()

    def forked(self) -> None:
        """In the child: there is no thread here, and the connection is the parent's."""
        if self._stream is not None:
            self._stream.forget()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._thread = None
        self._stream = None
        self._stop = threading.Event()
        self._tried = threading.Event()
        self._starting = threading.Lock()
        self.connected = False

    def _run(self, stop: threading.Event) -> None:
        tries = 0
        while self._leases and not stop.is_set():
            began = self._clock.monotonic()
            try:
                pause = self._follow(stop)
                tries = 0
            except _FAILURES as error:
                if stop.is_set():
                    break
                tries = 0 if self._clock.monotonic() - began > SILENCE else tries
                pause = self._pause(tries)
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - the thread must live on, and the feed grows old meanwhile
                pause = LONGEST_PAUSE
                self._fail(f"following it failed inside the program ({type(error).__name__})")
            tries += 1
            stop.wait(pause)
        self.connected = False

    def _follow(self, stop: threading.Event) -> float:
        """Until something is in the way; the seconds after which to go on."""
        if self._where is None:
            self._where = self._address()
        if not self.settled:  # a page is there at once, whatever is on the way; the first token waits for it
            self._follow_pages(stop)
            return 0.0
        if self._clock.monotonic() < self._pages_until:
            self._follow_pages(stop)
            return POLL_PAUSE
        try:
            self._follow_stream(self._where, stop)
        except NoStream as error:
            self._pages_until = self._clock.monotonic() + STREAM_AGAIN
            _log.info("the feed is read page by page: %s", error)
        return 0.0

    def _follow_stream(self, where: str, stop: threading.Event) -> None:
        began = self._clock.monotonic()
        self._stream = stream = self._make_stream()
        try:
            for octets in stream.messages(f"{where}?since={self.feed.sequence}"):
                self._take(octets)
                if stop.is_set() or not self._leases:
                    return
        except NoStream:
            self._cut = 0
            raise
        finally:
            self._stream = None
            self.connected = False
        self._cut = self._cut + 1 if self._clock.monotonic() - began < SILENCE else 0
        if self._cut >= _CUT_TOO_OFTEN:
            self._cut = 0
            raise NoStream("the feed's stream is cut again and again")
        raise DocumentRefused("the feed's stream ended")

    def _follow_pages(self, stop: threading.Event) -> None:
        """All pages there are."""
        while not stop.is_set():
            if self._take(self._page(f"{self._where}?since={self.feed.sequence}&limit={PAGE}")):
                return

    def _take(self, octets: bytes) -> bool:
        """Believe a batch; whether nothing is missing after it."""
        complete = self.feed.take(octets).complete
        if complete:
            self.connected, self.failure = True, None
            self._tried.set()
        return complete

    def _fail(self, why: str) -> None:
        if why != self.failure:  # once, however often it is tried again
            _log.warning("the revocations of %s are not known at the moment: %s", self.feed.issuer, why)
        self.connected, self.failure, self._where = False, why, None
        self._tried.set()

    def _pause(self, tries: int) -> float:
        longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(tries, 10))
        return longest * (0.5 + 0.5 * self._jitter())
