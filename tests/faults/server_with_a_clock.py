"""`authsec` whose wall clock a test can move: SIGUSR1 adds three hours, SIGUSR2 takes them away."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

from authsec.cli import main
from authsec_server.app.runtime import Runtime

STEP = timedelta(hours=3)
_off = timedelta()


def _moved(step: timedelta) -> Any:
    def move(*_: object) -> None:
        global _off
        _off += step

    return move


def _now() -> datetime:
    return datetime.now(UTC) + _off


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _moved(STEP))
    signal.signal(signal.SIGUSR2, _moved(-STEP))
    defaults = {**(Runtime.__init__.__kwdefaults__ or {}), "now": _now}
    setattr(Runtime.__init__, "__kwdefaults__", defaults)  # noqa: B010 - the clock is a test's, the rest is real
    main()
