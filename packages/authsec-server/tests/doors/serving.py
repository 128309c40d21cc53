"""An authority of a test, served over a real socket: for streams, which end only with their reader or the server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serving(its: Any) -> Iterator[str]:
    """Serve this authority on loopback, with all that runs beside it: its URL. It ends as a server does."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(its.authority.app, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        its.authority.readiness.draining = True
        server.should_exit = True
        thread.join()
        listener.close()
