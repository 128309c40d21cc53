"""An ASGI application on a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def asgi(app: Any, *, root_path: str = "") -> Iterator[str]:
    """Its address, until the end of the block."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none", root_path=root_path))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
