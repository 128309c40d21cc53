"""Limits for clients that do not read their answers.

The attack: a stranger asks for long answers and reads none. Uvicorn waits without an end until a client reads, so each
such request keeps its place in the concurrency limit. Soon agents get no place. A connection that the server closes
stays open as well, until the client has read the rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from authsec_server.web.request_counts import RefusedBefore, count_refused

SLOW_AFTER: Final = 1.0  # seconds: a client that reads all along needs less
PATIENCE: Final = 30.0  # seconds in which a slow client must read `LEAST_READ` bytes, or the rest
LEAST_READ: Final = 16 * 1024


class SlowReaders:
    """A limit for the clients that read slowly at the same time. Further ones are disconnected.

    Of `at_once` concurrent requests, slow clients have at most a quarter, and those of one network a sixteenth.
    """

    def __init__(self, at_once: int) -> None:
        self._at_most = max(1, at_once // 4)
        self._of_one = max(1, at_once // 16)
        self._slow: Counter[str] = Counter()

    def acquire(self, network: str) -> bool:
        """Count a client of this network. At a limit, count nothing and return False."""
        if self._slow.total() >= self._at_most or self._slow[network] >= self._of_one:
            return False
        self._slow[network] += 1
        return True

    def release(self, network: str) -> None:
        """Stop counting a client that `acquire` counted."""
        self._slow -= Counter({network: 1})  # removes the network at 0


class ReadingClock:
    """Disconnects one client if it does not read what was written to it."""

    def __init__(self, transport: asyncio.Transport, readers: SlowReaders, network: str) -> None:
        self._transport = transport
        self._readers = readers
        self._network = network
        self._timer: asyncio.TimerHandle | None = None
        self._is_slow = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to measure. Nothing more is written until the client reads, or the connection is closing."""
        if self._timer is None:
            self._timer = loop.call_later(SLOW_AFTER, self._become_slow, loop)

    def stop(self) -> None:
        """Stop to measure: the client has read, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_slow:
            self._is_slow = False
            self._readers.release(self._network)

    def _become_slow(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_slow = self._readers.acquire(self._network)
        if self._is_slow:
            self._look_later(loop)
        else:
            self._disconnect()

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(PATIENCE, self._look, loop, self._transport.get_write_buffer_size())

    def _look(self, loop: asyncio.AbstractEventLoop, unread_before: int) -> None:
        if unread_before - self._transport.get_write_buffer_size() < LEAST_READ:
            self._disconnect()
        else:
            self._look_later(loop)

    def _disconnect(self) -> None:
        self.stop()
        count_refused(RefusedBefore.ANSWER_NOT_READ)
        self._transport.abort()  # `close` would wait until the client has read the rest
