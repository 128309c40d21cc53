"""Requests as octets over a socket, to an authority that is served as `authsec serve` does it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from authsec_server.web.uvicorn_protocol import BoundedProtocol
from starlette.types import Receive, Scope, Send

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers in their order, its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def request_id(self) -> str:
        return dict(self.headers)["x-request-id"]

    @property
    def shape(self) -> tuple[Any, ...]:
        """All but what differs from one request to the next."""
        body = self.body.decode()
        for pattern, text in ((r'"token":"[^"]*"', '"token":""'), (r"req_\w+", "req_")):
            body = re.sub(pattern, text, body)
        headers = [
            (name, "" if name in {"date", "x-request-id", "content-length"} else value) for name, value in self.headers
        ]
        return self.status, headers, body


class Line:
    """A connection to a server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self.socket.makefile("rb")

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def read(self, *, is_last: bool = False) -> Answer:
        status = int(self._file.readline().split()[1])
        headers = []
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(": ")
            headers.append((name, value))
        if is_last:  # an answer to HEAD has a length and no body: without this, the server keeps the connection for 5 s
            self.socket.shutdown(socket.SHUT_WR)
        return Answer(status, headers, self._file.read(int(dict(headers).get("content-length", "0"))))

    def ask(self, request: bytes) -> Answer:
        self.send(request)
        return self.read(is_last=request.startswith(b"HEAD "))

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class Listening:
    """A server: calling opens a connection to it, which is closed at the end of the stack."""

    def __init__(self, server: uvicorn.Server, port: int, stack: ExitStack) -> None:
        self._server = server
        self._port = port
        self._stack = stack

    def __call__(self) -> Line:
        opened = Line(self._port)
        self._stack.callback(opened.close)
        return opened

    def end(self) -> None:
        """Let the server answer what it has, and end."""
        self._server.should_exit = True


@contextmanager
def listening(its: Any, *, directly: bool, app: Any = None) -> Iterator[Listening]:
    """Serve this authority: what opens connections to it."""
    direct = its.authority.direct if directly else None
    config = uvicorn.Config(
        app or its.authority.app,
        # as `authsec serve` does
        http=partial(BoundedProtocol, direct=direct, readers=its.authority.slow_readers),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        lifespan="off",
        server_header=False,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with ExitStack() as stack:
        its_own = Listening(server, listener.getsockname()[1], stack)
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield its_own
        finally:
            stack.close()
            its_own.end()
            thread.join()
            listener.close()


def request(client: str, *headers: str, method: str = "GET", version: str = "1.1", host: str = "127.0.0.1") -> bytes:
    lines = [
        f"{method} {ENDPOINT}?client_id={client} HTTP/{version}",
        *([f"Host: {host}:7468"] if host else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def no_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything with 418."""
    await send({"type": "http.response.start", "status": 418, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
