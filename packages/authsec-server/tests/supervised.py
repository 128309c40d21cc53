"""`authsec serve --workers 2` with stubs in place of its workers: see `doors/stub_worker.py`. It waits shorter."""

from __future__ import annotations

import errno
import os
import socket
import sys
from types import SimpleNamespace
from typing import Any

from authsec_server.cli import supervisor
from authsec_server.settings import load_settings


class Socketpair:
    """`socket.socketpair` that fails once: for the third worker that is started."""

    def __init__(self) -> None:
        self._calls = 0
        self._real = socket.socketpair

    def __call__(self) -> tuple[socket.socket, socket.socket]:
        self._calls += 1
        if self._calls == 4:  # the first pair is for signals
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return self._real()


def main() -> int:
    its: Any = supervisor
    its.worker_process = SimpleNamespace(__name__="stub_worker")
    its.FIRST_PAUSE, its.LONGEST_PAUSE = 0.02, 0.05
    if os.environ["STUB"] == "silent":
        its.SILENT_SECONDS = its.SECOND_CHANCE = 0.1
    if os.environ["STUB"] == "hangs":
        its.FINISH_SECONDS = its.LAST_SECONDS = 0.2
    if os.environ["STUB"] == "ends":
        its.socket.socketpair = Socketpair()
    options = {"workers": 2, "port": 0, "database": "postgresql://nowhere/none", "drain_seconds": 0.2}
    return supervisor.supervise(load_settings(**options), options)


if __name__ == "__main__":
    sys.exit(main())
