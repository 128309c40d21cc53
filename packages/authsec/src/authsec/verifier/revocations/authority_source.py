"""The authority's feed over HTTP: as a stream of events. If a proxy blocks streams, it is read page by page."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout

from authsec.clock import Clock
from authsec.errors import ConfigError
from authsec.http_client import open_pool
from authsec.verifier.documents import NO_HEADERS, DocumentRefused, failure_text
from authsec.verifier.revocations.batch import MOST_BYTES
from authsec.verifier.revocations.follower import Run

_log = logging.getLogger("authsec.verifier")

POLL_PAUSE: Final = 1.0  # seconds between two pages, if streams do not work
STREAM_AGAIN: Final = 60.0  # seconds after which a stream is tried again
STREAM_SOON: Final = 5.0  # the same, if the authority had too many streams
PAGE: Final = 1000  # entries in one page
_CUT_TOO_OFTEN: Final = 3  # streams in a row that were interrupted within SILENCE seconds, probably by a proxy

SILENCE: Final = 10.0  # seconds; the authority sends a message every five seconds
_CONNECTING: Final = 5.0
_HEADERS: Final = {
    "Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache",
    "User-Agent": "authsec-python",
}  # fmt: skip


class AuthoritySource:
    """The authority's feed over HTTP.

    `address` returns the address of the feed, `page` fetches one page, and `stream` makes a connection for
    events. Each request sends the headers that `headers` returns at that moment. `on_batch` receives every batch
    that was verified and applied.
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
        if not run.settled:  # A page works even where streams are blocked, and the first token waits for it.
            self.catch_up(run)
            return 0.0
        if self._clock.monotonic() < self._pages_until:
            self.catch_up(run)
            return POLL_PAUSE
        try:
            self._follow_stream(self._found(), run)
        except StreamUnavailable as error:
            pause = STREAM_SOON if isinstance(error, StreamLimitReached) else STREAM_AGAIN
            self._pages_until = self._clock.monotonic() + pause
            _log.info("the feed is read page by page, because its stream failed: %s", error)
        return 0.0

    def catch_up(self, run: Run) -> None:
        """Fetch and apply all available pages."""
        where = self._found()
        while not run.is_over:
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

    def close(self) -> None:
        """Do nothing: when the run ends, no connection is open."""

    def forget(self) -> None:
        if self._stream is not None:
            self._stream.forget()
        self._stream = None

    def _found(self) -> str:
        """Return the address of the feed. After a failure, look up the address again."""
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
                # The address was right, so use it again if the stream is interrupted.
                self._where = where
                if run.is_over:
                    return
                if self._headers() != said:  # The verifiers have changed. A new request tells the authority.
                    return
        except StreamUnavailable:
            self._cut = 0
            self._where = where
            raise
        finally:
            self._stream = None
        self._cut = self._cut + 1 if self._clock.monotonic() - began < SILENCE else 0
        if self._cut >= _CUT_TOO_OFTEN:
            self._cut = 0
            raise StreamUnavailable("the feed's stream is interrupted repeatedly")
        raise DocumentRefused("the feed's stream ended")


def _ignore(run: Run, octets: bytes) -> None:
    """Ignore the batch. This is the default of `on_batch`, for a worker that shares no file."""


class StreamUnavailable(DocumentRefused):
    """The server answers without a stream, or the stream is silent or repeatedly interrupted.

    A proxy may block streams, or the authority may have reached its limit of streams.
    """


class StreamLimitReached(StreamUnavailable):
    """The authority offers no stream at the moment (429 or 503). A retry can succeed.

    The authority has too many followers, or its database is down.
    """


class Stream:
    """One connection to the feed, used once. Other threads may call `stop` and `forget`."""

    def __init__(self, *, clock: Clock, trust: ssl.SSLContext | None) -> None:
        self._clock = clock
        self._trust = trust
        self._response: urllib3.BaseHTTPResponse | None = None

    def messages(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> Iterator[bytes]:
        """Yield batches as they arrive, until the server ends the stream. Raises `DocumentRefused`."""
        try:
            with open_pool(url, self._trust) as pool:
                response = pool.request(
                    "GET", url, headers={**headers, **_HEADERS}, timeout=Timeout(connect=_CONNECTING, read=SILENCE),
                    retries=False, redirect=False, preload_content=False, decode_content=False,
                )  # fmt: skip
                try:
                    _check_answer(url, response)
                    self._response = response
                    yield from self._read(url, response)
                finally:
                    self._response = None
                    response.close()
        except exceptions.ReadTimeoutError:
            raise StreamUnavailable(f"the feed {url} was silent for {SILENCE:g} seconds") from None
        except exceptions.HTTPError as error:
            raise DocumentRefused(f"the feed {url} cannot be followed: {failure_text(error)}") from None
        except ConfigError as error:  # The proxy setting is read only here, and is invalid.
            raise DocumentRefused(f"the feed {url} cannot be followed: {error}") from None

    def _read(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        messages = Messages(MOST_BYTES)
        deadline = self._clock.monotonic() + SILENCE
        while piece := response.read1(16_384):
            for message in messages.split(piece):
                yield message
                deadline = self._clock.monotonic() + SILENCE
            if self._clock.monotonic() >= deadline:  # The socket's own timeout starts again with every byte.
                raise StreamUnavailable(f"the feed {url} sent no complete message for {SILENCE:g} seconds")

    def stop(self) -> None:
        """Interrupt the wait for the next message."""
        response = self._response
        if response is not None:
            with suppress(OSError, ValueError, RuntimeError):  # the connection has just ended
                response.shutdown()

    def forget(self) -> None:
        """In a forked child, close the copy of the parent's connection. Nothing is sent to the server."""
        sock = getattr(getattr(self._response, "connection", None), "sock", None)
        self._response = None
        if sock is not None:
            os.close(sock.detach())


def _check_answer(url: str, response: urllib3.BaseHTTPResponse) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status != 200:
        kind_of = StreamLimitReached if response.status in {429, 503} else StreamUnavailable
        raise kind_of(f"the feed {url} answered {response.status}")
    if kind != "text/event-stream":
        raise StreamUnavailable(f"the feed {url} is not served as a stream")


class Messages:
    """Splits a stream of octets into messages of at most `most_bytes` bytes.

    Raises `DocumentRefused` for a longer message. The class reads only the parts of HTML §9.2.6 that an authority
    uses. Lines end in LF or CR LF. Other events, ids and comments are skipped.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rest = b""
        self._event = b""
        self._data: list[bytes] = []
        self._length = 0

    def split(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of each message that ends in `piece`."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if message := self._line(line.removesuffix(b"\r")):
                yield message
        if self._length + len(self._rest) > self._most:
            raise DocumentRefused(f"a message of the feed is larger than {self._most} bytes")

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event, data = self._event, b"\n".join(self._data)
            self._event, self._data, self._length = b"", [], 0
            return data if event == b"batch" else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value
        elif name == b"data":
            self._data.append(value)
            self._length += len(value)
        return None
