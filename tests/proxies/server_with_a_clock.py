"""`authsec` whose clock a test can put on: half a minute later with each SIGUSR1."""

from __future__ import annotations

import signal
import time

from authsec.cli import main
from authsec.clock import Clock
from authsec.verifier import verifier

later = 0.0


def put_on(*_: object) -> None:
    global later
    later += 31.0


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, put_on)
    clock = Clock(monotonic=lambda: time.monotonic() + later, wall=lambda: time.time() + later)
    setattr(verifier, "Clock", lambda: clock)  # noqa: B010 - the time is a test's, the rest is the real server
    main()
