"""Measure what counting one token costs a worker.

    uv run --no-sync python -m benchmarks.counting

One token takes and frees its place in the concurrency limit, is granted, and has a time. The limit without metrics is
subtracted. The figure is the lowest of many short rounds, because other programs only make a round longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from timeit import repeat

from authsec_server.metrics.catalogue import PROCESS, REQUESTS, TOKEN_REQUESTS
from authsec_server.metrics.memory import SharedMemory
from authsec_server.web.middleware import ConcurrencyLimit
from authsec_server.web.request_counts import SUCCESS, microseconds_since

ROUNDS, IN_A_ROUND = 3_000, 1_000


class PlainLimit:
    """The concurrency limit without metrics."""

    def __init__(self, at_most: int) -> None:
        self._free = at_most

    def acquire(self) -> bool:
        """Count a request."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Stop counting a request."""
        self._free += 1


def nanoseconds(work: Callable[[], None]) -> float:
    """Return the time of one call."""
    return min(repeat(work, number=IN_A_ROUND, repeat=ROUNDS)) / IN_A_ROUND * 1e9


def main() -> None:
    """Measure, and print the figure."""
    PROCESS.attach(SharedMemory.create(1).process(0))
    granted, answered = TOKEN_REQUESTS.of("delegation_token", "granted"), REQUESTS.of("/token", SUCCESS)
    limit, plain, began = ConcurrencyLimit(512), PlainLimit(512), time.perf_counter()

    def counted() -> None:
        limit.acquire()
        granted.add()
        answered.add(microseconds_since(began))
        limit.release()

    def uncounted() -> None:
        plain.acquire()
        plain.release()

    print(f"counting one token: {nanoseconds(counted) - nanoseconds(uncounted):.0f} ns")


if __name__ == "__main__":
    main()
