"""The API behind the proxies: records each request byte for byte, and agrees to every upgrade."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %s\r\n%s\r\n"
# What a WebSocket client wants to read for the key that RFC 6455 §1.3 has as its example.
_ACCEPTED = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the API read it. Names of headers and trailers are in lower case."""

    method: str
    path: str
    fields: tuple[tuple[str, str], ...]
    trailers: tuple[tuple[str, str], ...] = ()
    is_tunnelled: bool = False  # read after an upgrade: no proxy has looked at it

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


@contextmanager
def recording_api(seen: list[Request]) -> Iterator[str]:
    """Where it listens. Each request is in `seen` before it is answered."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            upgraded = False
            while (request := _read(self.rfile, upgraded)) is not None:
                seen.append(request)
                upgrade = ", ".join(request.values("upgrade"))
                if upgrade and not upgraded:
                    self.wfile.write(_SWITCHING % (upgrade.encode(), _ACCEPTED))
                    upgraded = True
                    if upgrade == "websocket":  # an API that speaks it reads no requests from then on
                        self.wfile.write(self.rfile.readline())
                        return
                    continue
                self.wfile.write(_answer(request))
                self.wfile.flush()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Proxies that end break their connections off."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _read(stream: BinaryIO, is_tunnelled: bool) -> Request | None:
    words = stream.readline().decode("latin-1").split()
    if len(words) != 3:
        return None
    fields = _fields(stream)
    headers = dict(fields)
    trailers: tuple[tuple[str, str], ...] = ()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int(stream.readline().partition(b";")[0], 16):
            stream.read(size + 2)
        trailers = _fields(stream)
    else:
        stream.read(int(headers.get("content-length") or 0))
    method, path, _ = words
    return Request(method=method, path=path, fields=fields, trailers=trailers, is_tunnelled=is_tunnelled)


def _fields(stream: BinaryIO) -> tuple[tuple[str, str], ...]:
    lines = iter(lambda: stream.readline().decode("latin-1").rstrip("\r\n"), "")
    pairs = (line.partition(":") for line in lines)
    return tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)


def _answer(request: Request) -> bytes:
    """The headers that it got, as JSON; an error of its own where the path asks for one."""
    body = json.dumps(request.headers).encode()
    status = {"own-refusal": 403, "own-failure": 500}.get(request.path.rpartition("/")[2], 200)
    head = (
        f"HTTP/1.1 {status} Own\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + (b"" if request.method == "HEAD" else body)
