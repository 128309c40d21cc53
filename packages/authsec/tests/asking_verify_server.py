"""A verify-server in a thread, before a fake authority, and what proxies send it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from authsec.verify_server.listen_address import ListenAddress
from authsec.verify_server.server import ServerSettings, VerifyServer

from .fake_feed import FakeFeed, TimeOfDay, feeding
from .fake_keys import AUDIENCE, FakeAuthority

LOOPBACK = ListenAddress(host="127.0.0.1", port=0)


@dataclass
class Asked:
    """A running verify-server."""

    feed: FakeFeed
    http: tuple[str, int]
    fastcgi: tuple[str, int]
    server: VerifyServer

    @property
    def authority(self) -> FakeAuthority:
        return self.feed.authority

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        return self.authority.token(**{"exp": now + 60, "nbf": now, "iat": now, **changes})

    def get(self, path: str, *tokens: str, **headers: str) -> urllib3.BaseHTTPResponse:
        sent = urllib3.HTTPHeaderDict(headers)
        for token in tokens:
            sent.add("Authorization", f"Bearer {token}")
        with urllib3.HTTPConnectionPool(*self.http) as pool:
            return pool.request("GET", path, headers=sent, retries=False)

    def raw(self, path: str, token: str) -> str:
        """The same for a path that a library would tidy up; the whole answer."""
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(self.http, timeout=10) as connection:
            connection.sendall(request.encode())
            return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()

    def cgi(self, **variables: str) -> str:
        """What Apache gets for these variables: headers and body, empty if the connection is broken off."""
        records = [record(1, struct.pack("!HB5x", 2, 0)), record(4, pairs(variables)), record(4)]
        return "".join(content.decode() for kind, content in records_of(self.fastcgi, b"".join(records)) if kind == 6)


@contextmanager
def running(*audiences: str, **changes: Any) -> Iterator[Asked]:
    """A server for these APIs; `changes` are other settings."""
    with feeding(TimeOfDay()) as feed, ExitStack() as stack:
        plain: dict[str, Any] = {"listen": LOOPBACK, "fastcgi": LOOPBACK, "stale_after": 30.0, "publish_metadata": True}
        names = {"issuer": feed.authority.url, "audiences": audiences or (AUDIENCE,), "revocations": "fail_closed"}
        settings = ServerSettings(**{**plain, **names, **changes})
        verifiers = settings.verifiers()
        http, fastcgi = (stack.enter_context(LOOPBACK.listening()) for _ in range(2))
        server = VerifyServer(settings, verifiers)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve_on(http, fastcgi)))
        asked = Asked(feed, http.getsockname(), fastcgi.getsockname(), server)
        thread.start()
        try:
            yield asked
        finally:
            server.end()
            thread.join()
            for verifier in verifiers:
                verifier.close()


def record(kind: int, content: bytes = b"", *, version: int = 1, padding: int = 0) -> bytes:
    """A record of FastCGI, of request 1."""
    return struct.pack("!BBHHBx", version, kind, 1, len(content), padding) + content + bytes(padding)


def pairs(variables: dict[str, str]) -> bytes:
    """Variables as FastCGI writes them."""
    written = b""
    for name, value in variables.items():
        for text in (name, value):
            size = len(text.encode())
            written += bytes([size]) if size < 128 else struct.pack("!L", size | 0x8000_0000)
        written += name.encode() + value.encode()
    return written


def records_of(address: tuple[str, int], sent: bytes) -> list[tuple[int, bytes]]:
    """Kind and content of each record that is answered."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    found = []
    while answer:
        _, kind, _, length, padding = struct.unpack("!BBHHBx", answer[:8])
        found.append((kind, answer[8 : 8 + length]))
        answer = answer[8 + length + padding :]
    return found


def unix_place(folder: Path) -> ListenAddress:
    return ListenAddress(path=str(folder / "verify.sock"))
