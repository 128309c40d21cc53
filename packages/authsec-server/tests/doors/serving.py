"""An authority of a test, served over a real socket: for streams, which end only with their reader or the server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(its: Any, *, listener: socket.socket | None = None, app: ASGIApp | None = None) -> Iterator[str]:
    """Serve this authority on loopback, with all that runs beside it: its URL. It ends as a server does.

    `app` is what stands before it; a `listener` is given where the authority must know its address before.
    """
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app or its.authority.app, log_config=None, timeout_graceful_shutdown=5))
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
