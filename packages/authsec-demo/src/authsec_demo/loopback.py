"""Run real servers on free loopback ports, in threads of this process, until a `with` block ends."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

HOST = "127.0.0.1"
_START_SECONDS = 10.0


@contextmanager
def serving(app: Any, *, port: int = 0, certificate: Path | None = None) -> Iterator[str]:
    """Serve an ASGI application and yield its URL. Stop the server when the `with` block ends.

    Before it stops, the server finishes open requests, for at most five seconds. Port 0 selects a free port.
    Raises `OSError` if the server cannot listen on the port.

    With `certificate`, the server uses TLS. The file is PEM and contains the certificate chain and the key.
    """
    listener = socket.create_server((HOST, port))
    server = uvicorn.Server(
        # A demo waits for open requests for at most five seconds.
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
            ssl_certfile=certificate,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="authsec-demo", daemon=True)
    thread.start()
    try:
        _await_start(server, thread)
        yield f"{'https' if certificate else 'http'}://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def free_port() -> int:
    """Return a port that is free now. Another program may take the port before the caller uses it."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Exclude loopback addresses from HTTP proxies, by changing `no_proxy` in `environment`.

    Otherwise, `requests` and `httpx` would send tokens for 127.0.0.1 to the proxy in HTTP_PROXY.
    """
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    value = ",".join(filter(None, [listed, HOST, "localhost"]))
    # Some libraries read the first name, others the second.
    environment["no_proxy"] = environment["NO_PROXY"] = value


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("a server of the demonstration did not start")
        time.sleep(0.005)
