"""The listener of `/metrics`: an address of its own, where neither agents nor the console are.

A thread answers from memory. It needs no event loop, no worker and no database, so it also answers while these hang.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer, TCPServer
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from authsec_server.cli.listener import metrics_refused
from authsec_server.metrics.collector import ServerCollector

log = structlog.get_logger(__name__)

PATH: Final = "/metrics"
AT_ONCE: Final = 8  # connections; further ones are closed
SECONDS: Final = 5.0  # for the whole connection: slow clients must not keep the connections


def milliseconds() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def metrics_served(host: str, port: int, collector: ServerCollector) -> Iterator[None]:
    """Answer `/metrics` at this address within this context. Raises `StartupRefused`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    try:
        server = _Server((host, port), registry)
    except OSError as error:
        raise metrics_refused(host, port, error) from None
    thread = Thread(target=server.serve_forever, args=(0.1,), name="authsec-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.registry = registry
        self._free = BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind the port. The server of the library also asks the name service for its own name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        ending = Timer(SECONDS, _shut_down, (request,))
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Log an error of the server. Log nothing if the client closed the connection, or was too slow."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("the metrics could not be shown", error=type(error).__name__)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # the connection is closed
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, request: Any, client_address: Any, server: BaseServer) -> None:
        assert isinstance(server, _Server)
        self._registry = server.registry
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        """Answer `/metrics`."""
        if urlsplit(self.path).path != PATH:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", f"The metrics are at {PATH}.\n".encode())
            return
        self._answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return no version of Python."""
        return "authsec"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server asks for
        """Write no line for each scrape."""
