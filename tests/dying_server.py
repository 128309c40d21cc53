"""`authsec serve` that is killed (SIGKILL) at its first signature: after the audit log, before the answer."""

from __future__ import annotations

import os
import signal

from authsec.cli import main
from authsec_server.keys.signer import Signer


def die(*_: object) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    setattr(Signer, "sign", die)  # noqa: B010 - the fault is injected, the rest is the real server
    main()
