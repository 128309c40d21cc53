"""The HTTP/1.1 protocol of uvicorn with httptools, plus limits for the head of a request, and direct answers.

Uvicorn and httptools have no limits for the size and the time of a head. Middleware cannot add them, because uvicorn
calls the application only after the head is complete.

Uvicorn also waits without an end for a client that does not read its answer, or sends octets that belong to no request.

Frequent requests may be answered without the application, because the application takes longer than the answer itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from authsec_server.web.errors import where
from authsec_server.web.request_context import address_of, limit_key
from authsec_server.web.request_counts import RefusedBefore, count_refused
from authsec_server.web.slow_readers import ReadingClock, SlowReaders

log = structlog.get_logger(__name__)

MAX_HEAD = 64 * 1024  # maximum bytes of request line and headers, and of headers and trailers
HEAD_SECONDS = 10.0
USUAL_LIMIT = 512  # concurrent requests


class DirectAnswers(Protocol):
    """Answers some requests in place of the application."""

    def begin(self, scope: Scope) -> asyncio.Future[Any] | None:
        """Return a future after which `answer` may be called. None if the application must answer the request.

        If the result is None, the method has done nothing that the application would repeat.
        """

    def answer(self, scope: Scope) -> bytes | None:
        """Return headers and body of the answer with status 200. None if the application must answer the request.

        The headers do not include those that uvicorn adds to each response.
        """

    def answered(self, scope: Scope) -> None:
        """Log a request whose answer was written."""


@contextmanager
def _left_to_the_application() -> Iterator[None]:
    """Log an unexpected error. The application then answers the request, and the connection stays usable."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the application answers after any error
        log.error("unexpected error", error=type(error).__name__, where=where(error))


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP protocol that closes a connection if a request's head is too large or too slow.

    The limits are `MAX_HEAD` bytes and `HEAD_SECONDS`. The size limit also includes trailers. The time for the
    first head starts when the connection opens. Between requests, uvicorn's keep-alive timeout applies.

    A client that does not read its answers is disconnected, see `slow_readers`. All connections share `readers`.

    With `direct`, some requests are answered without the application.
    """

    _head_size = 0
    _fields_size = 0
    _head_open = True
    _deadline: asyncio.TimerHandle | None = None
    _reading: ReadingClock | None = None
    _answering: RequestResponseCycle | None = None
    _is_over = False  # whether further octets are in another protocol

    def __init__(
        self, *args: Any, direct: DirectAnswers | None = None, readers: SlowReaders | None = None, **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self._direct = direct
        self._readers = readers or SlowReaders(USUAL_LIMIT)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own signature
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._close, RefusedBefore.HEAD_TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        if self._reading is not None:
            self._reading.stop()
        super().connection_lost(exc)
        # Of pipelined requests, uvicorn marks only the last one, and the others would write to a closed connection.
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        super().data_received(data)
        if self._head_open:  # checked per chunk, so the head exceeds the limit by at most one chunk
            if self._deadline is None:  # most heads arrive in one chunk, and need no clock
                self._deadline = self.loop.call_later(HEAD_SECONDS, self._close, RefusedBefore.HEAD_TOO_SLOW)
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._close(RefusedBefore.HEAD_TOO_LARGE)
        elif self._is_idle():
            # Line breaks between requests, or the body of a request that is answered. Uvicorn has stopped its clock.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_idle(self) -> bool:
        """Whether nothing is under way on the connection, and no clock bounds that."""
        return (
            self.timeout_keep_alive_task is None
            and not self.transport.is_closing()
            and self.cycle is not None
            and self.cycle.response_complete
        )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_reading_clock()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None and not self.transport.is_closing():
            self._reading.stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._bound_closing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._bound_closing()

    def _bound_closing(self) -> None:
        """Bound the time in which a connection that is closing waits for its client to read."""
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._start_reading_clock()

    def _start_reading_clock(self) -> None:
        if self._reading is None:
            network = limit_key(address_of({"client": self.client}, trusted_proxies=()))
            self._reading = ReadingClock(self.transport, self._readers, network)
        self._reading.start(self.loop)

    def on_message_begin(self) -> None:
        self._head_open, self._head_size, self._fields_size = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._fields_size += len(name) + len(value)
        if self._fields_size > MAX_HEAD:  # also counts trailers, which come after the head and use memory
            self._close(RefusedBefore.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._stop_clock()
        super().on_headers_complete()
        # The parser drops what arrives with a request for another protocol, and would read what arrives later. Then
        # the next answer would seem to belong to a request that was dropped.
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        self._is_over = True  # without a warning: a stranger could fill the log

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        scope: Any = cycle.scope
        begun = None
        if self._direct is not None and self._is_usual(cycle):
            with _left_to_the_application():
                begun = self._direct.begin(scope)
        if begun is None:
            super()._start_asgi_task(cycle, app)
        else:
            begun.add_done_callback(partial(self._answer, cycle, app))

    def _answer(self, cycle: RequestResponseCycle, app: Any, _begun: asyncio.Future[Any]) -> None:
        scope: Any = cycle.scope
        answer = None
        if self._direct is not None and self._is_usual(cycle):
            with _left_to_the_application():
                answer = self._direct.answer(scope)
        if answer is None or self._direct is None:
            super()._start_asgi_task(cycle, app)
            return
        if not cycle.disconnected and not self.transport.is_closing():
            default = [part for name, value in cycle.default_headers for part in (name, b": ", value, b"\r\n")]
            self.transport.write(b"".join((STATUS_LINE[200], *default, answer)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        self.on_response_complete()
        self._direct.answered(scope)  # last: an error in the log must not stop the answer

    def _is_usual(self, cycle: RequestResponseCycle) -> bool:
        """Whether an answer can be written at once, and leaves the connection open."""
        return cycle.keep_alive and not cycle.waiting_for_100_continue and not self.flow.write_paused

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self, why: RefusedBefore) -> None:
        self._stop_clock()
        if not self.transport.is_closing():
            count_refused(why)
        self.transport.close()
        self._bound_closing()

    def send_400_response(self, msg: str) -> None:
        count_refused(RefusedBefore.MALFORMED)
        super().send_400_response(msg)
        self._bound_closing()
