"""The feed as a stream of server-sent events: one connection, with a limit on how long it may be silent."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout

from authsec.clock import Clock
from authsec.errors import ConfigError
from authsec.http_client import open_pool
from authsec.verifier.documents import NO_HEADERS, DocumentRefused, why
from authsec.verifier.revocations.batch import MOST_BYTES

SILENCE: Final = 10.0  # seconds; the authority says something every five
_CONNECTING: Final = 5.0
_HEADERS: Final = {
    "Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-cache",
    "User-Agent": "authsec-python",
}  # fmt: skip


class NoStream(DocumentRefused):
    """Something answers, but not with a stream: a proxy that does not let one through, or no place for one more."""


class NoPlace(NoStream):
    """The authority has none to give: too many follow or begin to, or its database is away. That passes."""


class Stream:
    """One connection to the feed. `stop` and `forget` are for other threads; it is used once."""

    def __init__(self, *, clock: Clock, trust: ssl.SSLContext | None) -> None:
        self._clock = clock
        self._trust = trust
        self._response: urllib3.BaseHTTPResponse | None = None

    def messages(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> Iterator[bytes]:
        """The batches as they come, until the other side ends it. Raises `DocumentRefused`."""
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
            raise NoStream(f"the feed {url} says nothing for {SILENCE:g} seconds") from None
        except exceptions.HTTPError as error:
            raise DocumentRefused(f"the feed {url} cannot be followed: {why(error)}") from None
        except ConfigError as error:  # the proxy's, which is only looked at now
            raise DocumentRefused(f"the feed {url} cannot be followed: {error}") from None

    def _read(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        messages = Messages(MOST_BYTES)
        deadline = self._clock.monotonic() + SILENCE
        while piece := response.read1(16_384):
            for message in messages.split(piece):
                yield message
                deadline = self._clock.monotonic() + SILENCE
            if self._clock.monotonic() >= deadline:  # the socket's own limit starts anew with every byte that drips in
                raise NoStream(f"the feed {url} says nothing whole for {SILENCE:g} seconds")

    def stop(self) -> None:
        """End a wait for the next message."""
        response = self._response
        if response is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it has just ended by itself
                response.shutdown()

    def forget(self) -> None:
        """In a forked child: let go of the connection, which is its parent's, without a word to the other side."""
        sock = getattr(getattr(self._response, "connection", None), "sock", None)
        self._response = None
        if sock is not None:
            os.close(sock.detach())


def _check_answer(url: str, response: urllib3.BaseHTTPResponse) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status != 200:
        kind_of = NoPlace if response.status in {429, 503} else NoStream
        raise kind_of(f"the feed {url} answers {response.status}")
    if kind != "text/event-stream":
        raise NoStream(f"the feed {url} is not served as a stream")


class Messages:
    """Cuts a stream of octets into messages, none of which may be longer than `most_bytes`.

    Of HTML §9.2.6 it knows what an authority sends: lines that end in LF or CR LF. Other events, ids and comments are
    passed over.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rest = b""
        self._event = b""
        self._data: list[bytes] = []
        self._length = 0

    def split(self, piece: bytes) -> Iterator[bytes]:
        """The data of each message that `piece` completes."""
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
