"""A TCP switch before servers, as a load balancer or a database proxy is one; it can cut all off, or fall silent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CONNECTING = 1.0  # seconds


class Switch:
    """Takes each connection to the next of `servers` that accepts it. Runs in a thread of its own.

    A server is a port of this machine, or the path of a unix socket.
    """

    def __init__(self, port: int, servers: list[int | str]) -> None:
        self.port = port
        self.servers = servers
        self._turn = 0
        self._cut = False
        self._silent = False
        self._silences = 0
        self._ended = asyncio.Event()
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

    def silence(self) -> None:
        """Forward nothing more, and close nothing. Connections of before, and those made meanwhile, stay silent."""
        self._loop.call_soon_threadsafe(self._hush, True)

    def speak(self) -> None:
        """Forward what new connections send."""
        self._loop.call_soon_threadsafe(self._hush, False)

    def _hush(self, silent: bool) -> None:
        self._silent = silent
        self._silences += silent

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
        self._ended.set()
        while tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._silent:
            await self._nothing(writer)
            return
        silences = self._silences
        other = None if self._cut else await self._connected()
        if other is None:
            writer.transport.abort()
            return
        self._open |= {writer, other[1]}

        async def pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            """Until one side ends; then so does the other."""
            with suppress(OSError):  # killed or cut off, as the scene wants it
                while octets := await source.read(65_536):
                    if silences != self._silences:
                        break
                    target.write(octets)
                    await target.drain()
            if silences != self._silences:
                await self._nothing(target)
            target.close()

        try:
            await asyncio.gather(pour(reader, other[1]), pour(other[0], writer))
        finally:
            self._open -= {writer, other[1]}

    async def _nothing(self, writer: asyncio.StreamWriter) -> None:
        """Keep the connection open, and do nothing."""
        self._open.add(writer)
        await self._ended.wait()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        for step in range(len(self.servers)):
            server = self.servers[(self._turn + step) % len(self.servers)]
            connecting = (
                asyncio.open_unix_connection(server)
                if isinstance(server, str)
                else asyncio.open_connection("127.0.0.1", server)
            )
            with suppress(OSError, TimeoutError):  # that one is dead: the next in turn
                return await asyncio.wait_for(connecting, CONNECTING)
        return None


@contextmanager
def switch(port: int, servers: list[int | str]) -> Iterator[Switch]:
    """A switch that listens."""
    opened = Switch(port, servers)
    opened._thread.start()
    opened._listening.wait()
    try:
        yield opened
    finally:
        opened._loop.call_soon_threadsafe(opened._loop.stop)
        opened._thread.join()
