"""A stranger sends a line break after an answer, or a part of a body, and nothing more: the connection stays for ever.

Uvicorn stops its keep-alive clock when octets arrive, and starts the clock only at the end of a request. A server has a
limited number of connections.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from authsec_server.web.uvicorn_protocol import BoundedProtocol
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.fixture
def port() -> Iterator[int]:
    """A server that keeps an idle connection for a third of a second."""
    app = Starlette(routes=[Route("/", hello, methods=["GET"])])
    config = uvicorn.Config(app, http=BoundedProtocol, log_config=None, lifespan="off", timeout_keep_alive=0.3)  # type: ignore[arg-type] # a float is enough
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("headers", [b"", b"Content-Length: 1000\r\n"], ids=["line break", "body"])
def test_octets_of_no_request_keep_no_connection(port: int, headers: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(5)
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        assert stranger.recv(65_536).startswith(b"HTTP/1.1 200")
        stranger.sendall(b"\r\n")
        while stranger.recv(65_536):
            pass  # the body may come apart from the head


def test_a_request_after_a_line_break_is_answered(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(5)
        for _ in range(2):
            client.sendall(b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
            answer = b""
            while not answer.endswith(b"hello"):
                answer += client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
