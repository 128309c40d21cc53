"""The HTTP/1.1 protocol of uvicorn with httptools, plus limits for the size and the time of a request's head.

Uvicorn and httptools have no such limits. Middleware cannot add them, because uvicorn calls the application
only after the head is complete.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes of request line and headers; and of headers and trailers
HEAD_SECONDS = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP protocol that closes a connection if a request's head is too large or too slow.

    The limits are `MAX_HEAD` bytes and `HEAD_SECONDS`. The size limit also includes trailers. The time for the
    first head starts when the connection opens. Between requests, uvicorn's keep-alive timeout applies.
    """

    _head_size = 0
    _fields_size = 0
    _head_open = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own signature
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_open:  # still, after all that: one chunk more than the limit is the most there ever is
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._close()

    def on_message_begin(self) -> None:
        self._head_open, self._head_size, self._fields_size = True, 0, 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._close)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._fields_size += len(name) + len(value)
        if self._fields_size > MAX_HEAD:  # trailers come after the head and are kept all the same
            self._close()

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._stop_clock()
        super().on_headers_complete()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stop_clock()
        self.transport.close()
