"""An API on a real socket that knows a token when it sees one: the other side for tests of requests with tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeApi:
    """Answers 200 with the request's body to a token in `good`, 401 to others, and redirects where `moved` says so."""

    url: str
    good: Callable[[str], bool]
    moved: dict[str, str] = field(default_factory=dict)
    status: int = 200
    seen: list[tuple[str, str | None, bytes]] = field(default_factory=list)
    together: threading.Barrier | None = None  # holds requests back until so many are there

    @property
    def tokens(self) -> list[str | None]:
        """What each request brought, None where it brought no token."""
        return [token for _, token, _ in self.seen]

    def answer(self, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.seen.append((path, token, body))
        if path in self.moved:
            return 307, {"Location": self.moved[path]}, b""
        if self.together is not None and not self.together.broken and (token is None or not self.good(token)):
            with suppress(threading.BrokenBarrierError):  # fewer came than were waited for: the test sees it
                self.together.wait(5)
        return (self.status if token is not None and self.good(token) else 401), {}, body


@contextmanager
def serving_api(good: Callable[[str], bool] = bool) -> Iterator[FakeApi]:
    """One on loopback, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            status, headers, body = api.answer(self.path, token if kind == "Bearer" else None, self.body())
            with suppress(OSError):  # the client may have hung up
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as it is called there

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size + 2)[:-2])
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # of 30 connections at once, Python's 5 would let some wait for seconds

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = FakeApi(f"http://127.0.0.1:{server.server_port}", good)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
