"""Signals for a command that runs until somebody ends it, by a signal or by closing the pipe on stdout."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class UntilEnded:
    """The state of a command that runs until it is ended: whether the end was requested.

    A request to end interrupts `wait`. A signal does not interrupt work that has started.
    """

    def __init__(self, wake: int | None = None, reader: int | None = None) -> None:
        self.ended = False
        self._wake = wake
        self._reader = reader

    def wait(self, seconds: float) -> None:
        """Wait for this time, or until the end is requested."""
        if self.ended:
            return
        if self._wake is None:  # Windows, where no pipe can be waited for
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._reader is not None:
            poll.register(self._reader, 0)  # an error only: whoever read is gone
        if poll.poll(seconds * 1000):
            self.ended = True

    def end(self) -> None:
        """Request the end of the command."""
        self.ended = True


@contextmanager
def until_ended() -> Iterator[UntilEnded]:
    """Yield an `UntilEnded`. SIGTERM, Ctrl-C and a closed stdout request the end.

    Call this function only in the main thread.
    """
    if sys.platform == "win32":
        yield UntilEnded()
        return
    wake, ring = os.pipe()
    # In a test stdout is no file of the system's.
    ending = UntilEnded(wake, sys.__stdout__.fileno() if sys.__stdout__ and sys.stdout is sys.__stdout__ else None)

    def end(*_: object) -> None:
        ending.end()
        os.write(ring, b".")

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake)
        os.close(ring)
