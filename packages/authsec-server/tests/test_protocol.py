"""What arrives before it is a request: bounded in size and in time, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from authsec_server.web import uvicorn_protocol
from authsec_server.web.uvicorn_protocol import MAX_HEAD, BoundedProtocol
from process_metrics import metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())}")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server on loopback that waits half a second for a request's head."""
    monkeypatch.setattr(uvicorn_protocol, "HEAD_SECONDS", 0.5)
    app = Starlette(routes=[Route("/", hello, methods=["GET", "POST"])])
    config = uvicorn.Config(app, http=BoundedProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def exchange(port: int, *chunks: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server closes, or for two seconds."""
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(2)
        try:
            for chunk in chunks:
                connection.sendall(chunk)
                time.sleep(pause)
            while more := connection.recv(65_536):
                received += more
        except ConnectionError:
            pass  # the server breaks off what it refuses: what came before that is the answer
        except TimeoutError:
            received += b"<still open>"
    return received


def test_an_ordinary_request_is_answered(port: int) -> None:
    answer = exchange(
        port, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", b"Content-Length: 3\r\n\r\n", b"abc"
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"3")


def test_a_long_body_is_no_long_head(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    assert exchange(port, head, b"x" * 300_000).endswith(b"300000")


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nX-Long: "])
def test_a_head_without_an_end_is_not_kept(port: int, begin: bytes) -> None:
    assert exchange(port, begin, *[b"x" * 16_384] * (MAX_HEAD // 16_384 * 20)) == b""


def test_trailers_without_an_end_are_not_kept(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert exchange(port, head, *[b"X-Trailer: " + b"x" * 1000 + b"\r\n"] * 200) == b""


def test_who_says_nothing_is_not_waited_for(port: int) -> None:
    begin = time.monotonic()
    assert exchange(port) == b""
    assert time.monotonic() - begin < 2


def test_a_head_that_drips_is_not_waited_for(port: int) -> None:
    assert exchange(port, b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 10, pause=0.1) == b""


def test_a_second_request_has_its_own_time(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(2)
        for _ in range(3):
            connection.sendall(request)
            time.sleep(0.3)  # head and body may arrive apart
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HTTP")
        assert connection.recv(65_536) == b""


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ((b"nonsense\r\n\r\n",), "malformed"),
        ((b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n",), "head_too_large"),
        ((b"GET / HTTP/1.1\r\nHost: ",), "head_too_slow"),
    ],
)
def test_what_never_becomes_a_request_is_counted(port: int, chunks: tuple[bytes, ...], reason: str) -> None:
    before = metric("authsec_requests_refused_total", reason=reason)
    exchange(port, *chunks)
    assert metric("authsec_requests_refused_total", reason=reason) == before + 1
