"""`authsec serve` with something in it that never ends, and short bounds.

stuck_server.py thread|close|loop serve …
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from typing import Any

import click
from authsec_server.cli import register
from authsec_server.cli import server_process as module
from authsec_server.db.sqlite import SQLite


def hang(*_: Any) -> None:
    """Never end."""
    threading.Event().wait()


class StuckServer(module.DrainingServer):
    """A server whose event loop is blocked two seconds after its start."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().call_later(2, hang_in_python)


def hang_in_python() -> None:
    """Never end, and let signals be heard."""
    while True:
        time.sleep(0.1)


def main(what: str, *arguments: str) -> None:
    module.FINISH_SECONDS, module.LAST_SECONDS = 1, 1
    if what == "thread":
        threading.Thread(target=hang).start()
    elif what == "close":
        SQLite.close = hang  # type: ignore[method-assign] # the fault
    else:
        module.DrainingServer = StuckServer  # type: ignore[misc] # the fault
    group = click.Group()
    register(group)
    group(arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
