"""One line an outage in the server's log, instead of one a request.

A busy server would otherwise write thousands of equal lines a second while its database is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

import anyio
import structlog

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
REPEAT_SECONDS: Final = 60.0
OVER_SECONDS: Final = 10.0  # without a failed request; a pool of connections recovers and fails again within seconds
MOST: Final = 32  # kinds at the same time: a kind can be a message that names a trusted issuer
OTHERS: Final = "others"


@dataclass(slots=True)
class _Outage:
    """Requests that failed for the same reason. The times are monotonic."""

    began: float
    last: float
    told: float  # time of the last line
    requests: int = 1
    told_requests: int = 1


class Outages:
    """The current outages of this process by their kind. Every method may be called in any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._current: dict[str, _Outage] = {}
        self._lock = Lock()

    def add(self, kind: str) -> bool:
        """Count a failed request. Return whether it is the first of its outage, so that its lines are written."""
        now = self._monotonic()
        with self._lock:
            if kind not in self._current and len(self._current) >= MOST:
                kind = OTHERS
            outage = self._current.get(kind)
            if outage is None:
                self._current[kind] = _Outage(began=now, last=now, told=now)
                return True
            outage.requests += 1
            outage.last = now
            return False

    def look(self) -> None:
        """Log each outage that is over, and once a minute each outage that goes on."""
        now = self._monotonic()
        with self._lock:
            over = {kind: its for kind, its in self._current.items() if now - its.last >= OVER_SECONDS}
            for kind in over:
                del self._current[kind]
            due = {kind: its for kind, its in self._current.items() if now - its.told >= REPEAT_SECONDS}
            self._tell(due, now)
        for kind, its in over.items():
            log.warning(
                "the outage has ended", outage=kind, requests=its.requests, seconds=round(its.last - its.began, 1)
            )

    def _tell(self, outages: dict[str, _Outage], now: float) -> None:
        for kind, its in outages.items():
            log.error(
                "the outage continues",
                outage=kind,
                requests=its.requests,
                new_requests=its.requests - its.told_requests,
                seconds=round(now - its.began, 1),
            )
            its.told, its.told_requests = now, its.requests

    async def run(self) -> None:
        """Look once a second, until this task is cancelled. At the end, log the outages that go on."""
        try:
            while True:
                await anyio.sleep(LOOK_SECONDS)
                self.look()
        finally:
            with self._lock:
                self._tell(self._current, self._monotonic())
