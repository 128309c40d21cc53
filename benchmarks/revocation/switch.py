"""A TCP switch between verifiers and servers, as a load balancer stands there; it can cut all off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CONNECTING = 1.0  # seconds


class Switch:
    """Takes each connection to the next of `servers` that accepts it. Runs in a thread of its own."""

    def __init__(self, port: int, servers: list[int]) -> None:
        self.port = port
        self.servers = servers
        self._turn = 0
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def cut(self) -> None:
        """End every connection, and accept none that lasts."""
        self._loop.call_soon_threadsafe(self._set, True)

    def join(self) -> None:
        """Let connections through again."""
        self._loop.call_soon_threadsafe(self._set, False)

    def _set(self, cut: bool) -> None:
        self._cut = cut
        for writer in self._open if cut else ():
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._carry, "127.0.0.1", self.port))
        self._listening.set()
        self._loop.run_forever()
        server.close()
        self._set(True)
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other = None if self._cut else await self._connected()
        if other is None:
            writer.transport.abort()
            return
        self._open |= {writer, other[1]}
        try:
            await asyncio.gather(_pour(reader, other[1]), _pour(other[0], writer))
        finally:
            self._open -= {writer, other[1]}

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        for step in range(len(self.servers)):
            port = self.servers[(self._turn + step) % len(self.servers)]
            with suppress(OSError, TimeoutError):  # that one is dead: the next in turn
                return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), CONNECTING)
        return None


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until one side ends; then so does the other."""
    with suppress(OSError):  # killed or cut off, as the scene wants it
        while octets := await source.read(65_536):
            target.write(octets)
            await target.drain()
    target.close()


@contextmanager
def switch(port: int, servers: list[int]) -> Iterator[Switch]:
    """A switch that listens."""
    opened = Switch(port, servers)
    opened._thread.start()
    opened._listening.wait()
    try:
        yield opened
    finally:
        opened._loop.call_soon_threadsafe(opened._loop.stop)
        opened._thread.join()
