"""The feed from the authority itself: as a stream, or page by page where none gets through."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from authsec.clock import Clock
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.revocations.follower import Run
from authsec.verifier.revocations.stream import SILENCE, NoPlace, NoStream, Stream

_log = logging.getLogger("authsec.verifier")

POLL_PAUSE: Final = 1.0  # seconds between two pages, where no stream gets through
STREAM_AGAIN: Final = 60.0  # after which a stream is tried again
STREAM_SOON: Final = 5.0  # the same, where there was only no place for one
PAGE: Final = 1000  # entries
_CUT_TOO_OFTEN: Final = (
    3  # streams in a row, each cut before it was SILENCE old: somebody on the way does not like them
)


class AuthoritySource:
    """`address` finds where the feed is, `page` gets a page of it, `stream` makes a connection.

    Each request has what `headers` say at the moment. `on_batch` gets every batch that was believed.
    """

    def __init__(
        self,
        *,
        address: Callable[[], str],
        page: Callable[[str, Mapping[str, str]], bytes],
        stream: Callable[[], Stream],
        headers: Callable[[], Mapping[str, str]],
        clock: Clock,
    ) -> None:
        self.on_batch: Callable[[Run, bytes], None] = _ignore
        self._address = address
        self._page = page
        self._make_stream = stream
        self._headers = headers
        self._clock = clock
        self._where: str | None = None
        self._stream: Stream | None = None
        self._cut = 0
        self._pages_until = 0.0

    def follow(self, run: Run) -> float:
        if not run.settled:  # a page is there at once, whatever is on the way; the first token waits for it
            self.catch_up(run)
            return 0.0
        if self._clock.monotonic() < self._pages_until:
            self.catch_up(run)
            return POLL_PAUSE
        try:
            self._follow_stream(self._found(), run)
        except NoStream as error:
            pause = STREAM_SOON if isinstance(error, NoPlace) else STREAM_AGAIN
            self._pages_until = self._clock.monotonic() + pause
            _log.info("the feed is read page by page: %s", error)
        return 0.0

    def catch_up(self, run: Run) -> None:
        """Take all pages there are."""
        where = self._found()
        while not run.over:
            page = self._page(f"{where}?since={run.feed.sequence}&limit={PAGE}", self._headers())
            complete = run.take(page)
            self.on_batch(run, page)
            if complete:
                break
        self._where = where

    def stop(self) -> None:
        stream = self._stream
        if stream is not None:
            stream.stop()

    def rest(self) -> None:
        """Nothing is held between two requests."""

    def forget(self) -> None:
        if self._stream is not None:
            self._stream.forget()
        self._stream = None

    def _found(self) -> str:
        """Where the feed is; found anew after whatever went wrong."""
        where, self._where = self._where or self._address(), None
        return where

    def _follow_stream(self, where: str, run: Run) -> None:
        began = self._clock.monotonic()
        self._stream = stream = self._make_stream()
        said = self._headers()
        try:
            for octets in stream.messages(f"{where}?since={run.feed.sequence}", said):
                run.take(octets)
                self.on_batch(run, octets)
                self._where = where  # which was right a moment ago, should the stream break
                if run.over:
                    return
                if self._headers() != said:  # another verifier has come, or one has gone: the authority shall know
                    return
        except NoStream:
            self._cut = 0
            self._where = where
            raise
        finally:
            self._stream = None
        self._cut = self._cut + 1 if self._clock.monotonic() - began < SILENCE else 0
        if self._cut >= _CUT_TOO_OFTEN:
            self._cut = 0
            raise NoStream("the feed's stream is cut again and again")
        raise DocumentRefused("the feed's stream ended")


def _ignore(run: Run, octets: bytes) -> None:
    """No other worker wants the batch."""
