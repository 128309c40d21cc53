"""The HTTP protocol without a socket: a test feeds octets to it, and reads what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import uvicorn
from authsec_server.web.uvicorn_protocol import BoundedProtocol
from uvicorn.server import ServerState


class FakeTransport(asyncio.Transport):
    """A transport whose client reads at once, or never with `is_read=False`."""

    def __init__(self, *, is_read: bool = True) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 7468)})
        self.written = b""
        self.is_aborted = False
        self._is_read = is_read
        self._is_closing = False

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self._is_closing = self.is_aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0 if self._is_read else len(self.written)


class Fed:
    """One connection to an application."""

    def __init__(self, app: Any, *, direct: Any = None, transport: FakeTransport | None = None, **named: Any) -> None:
        self.transport = transport or FakeTransport()
        self._state = ServerState()
        config = uvicorn.Config(
            app, interface="asgi3", log_config=None, lifespan="off", ws="none", server_header=False, date_header=False
        )
        self.protocol = BoundedProtocol(config=config, server_state=self._state, app_state={}, direct=direct, **named)
        self.protocol.connection_made(self.transport)

    async def feed(self, chunks: Iterable[bytes]) -> None:
        """Feed the chunks, each in a turn of the loop. A closed connection takes no more."""
        for chunk in chunks:
            if self.transport.is_closing():
                break
            self.protocol.data_received(chunk)
            await asyncio.sleep(0)

    async def answers(self) -> bytes:
        """What is written until the client goes away: not before all that it asked for is answered."""
        for _ in range(20_000):
            if self.transport.is_closing() or not self._is_busy():
                break
            await asyncio.sleep(0.001)
        await self.end()
        return self.transport.written

    async def end(self) -> None:
        """Let the client go away, and the application notice it."""
        self.transport.close()
        self.protocol.connection_lost(None)
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=20)
        assert not self._state.tasks, "a request goes on although its client is gone"

    def _is_busy(self) -> bool:
        cycle = self.protocol.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body
