"""Short pauses in a pass of the sealer, so that a token request does not wait for the interpreter.

A Python thread that is busy keeps the interpreter for 5 ms. A token request needs the interpreter five times. So the
one token in fifty that came during a pass took 10 ms instead of 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
SECONDS: Final = 20e-6  # long enough for a waiting thread to wake up
AT_ONCE: Final = 4  # events between two pauses: some 0.1 ms
MOST_EVENTS: Final = 1000  # of more events in one pass, tokens wait for each other, and pauses would only cost time


def pause() -> None:
    """Let a thread that waits for the interpreter continue first."""
    time.sleep(SECONDS)


def with_pauses(events: Sequence[T]) -> Iterator[T]:
    """Yield the events, with pauses if there are few of them."""
    for place, each in enumerate(events):
        if place % AT_ONCE == 0 and len(events) <= MOST_EVENTS:
            pause()
        yield each
