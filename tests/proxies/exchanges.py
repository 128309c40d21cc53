"""Requests that no library would send: bytes of HTTP/1, and frames of HTTP/2 (RFC 9113).

Fields of HTTP/2 are sent as plain literals (RFC 7541 §6.2.3).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

Fields = Sequence[tuple[str, str]]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
# The response's first field is :status, from the static table (RFC 7541 appendix A) or as a literal of three digits.
_STATUSES = {0x88: "200", 0x89: "204", 0x8A: "206", 0x8B: "304", 0x8C: "400", 0x8D: "404", 0x8E: "500"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Http1:
    """Bytes of HTTP/1; those of `then` follow once an answer has begun."""

    data: str
    then: str = ""

    def send(self, url: str, token: str) -> str:
        """The status of the first answer; empty if the connection was closed without one."""
        with _connect(url) as connection:
            connection.sendall(self._filled(self.data, url, token))
            head = _read_head(connection)
            if self.then:
                with suppress(OSError):  # the proxy has closed, as it should
                    connection.sendall(self._filled(self.then, url, token))
                    _read_head(connection)
        words = head.split(b" ", 2)
        return words[1].decode("latin-1") if len(words) > 1 and head.startswith(b"HTTP/") else ""

    @staticmethod
    def _filled(text: str, url: str, token: str) -> bytes:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        places = {"@AUTHORIZATION@": authorization, "@HOST@": urlsplit(url).netloc, "@TOKEN@": token or "none"}
        for place, value in places.items():
            text = text.replace(place, value)
        return text.encode("latin-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2:
    """One stream of HTTP/2 without TLS. Fields replace those of an ordinary GET by name; others are added."""

    fields: Fields = ()
    body: bytes | None = None
    trailers: Fields = ()

    def send(self, url: str, token: str) -> str:
        """The status; "reset" if the stream or the connection was ended without one."""
        names = {name for name, _ in self.fields}
        usual = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/customers/42"),
            (":authority", urlsplit(url).netloc),
        ]
        credentials = [("authorization", f"Bearer {token}")] if token else []
        fields = [*(pair for pair in usual if pair[0] not in names), *self.fields, *credentials]
        fields.sort(key=lambda pair: not pair[0].startswith(":"))
        ends_at_once = self.body is None and not self.trailers
        frames = [_frame(_SETTINGS, 0, b"", 0), _frame(_HEADERS, _END_HEADERS | ends_at_once, _block(fields))]
        if not ends_at_once:
            frames.append(_frame(_DATA, 0 if self.trailers else _END_STREAM, self.body or b""))
        if self.trailers:
            frames.append(_frame(_HEADERS, _END_HEADERS | _END_STREAM, _block(self.trailers)))
        with _connect(url) as connection:
            connection.sendall(_PREFACE + b"".join(frames))
            return _read_status(connection)


def asks_for_websocket(url: str, path: str, token: str) -> tuple[str, bytes]:
    """The status, and what the API answered to one line through the WebSocket; nothing if there is none."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += [
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {token}",
    ]
    with _connect(url) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        status = _read_head(connection).split(b" ", 2)[1].decode()
        if status != "101":
            return status, b""
        connection.sendall(b"through\n")
        return status, connection.recv(100)


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _read_head(connection: socket.socket) -> bytes:
    """The head of an answer, or what came of it. A proxy that waits for more of a request answers nothing."""
    connection.settimeout(0.4)
    head = b""
    try:
        while b"\r\n\r\n" not in head and (piece := connection.recv(65_536)):
            head += piece
    except (TimeoutError, ConnectionError):
        pass
    return head


def _frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _block(fields: Fields) -> bytes:
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, more = len(raw) - 127, b"\x7f"
    while rest >= 128:
        more, rest = more + bytes([rest % 128 + 128]), rest // 128
    return more + bytes([rest]) + raw


def _read_status(connection: socket.socket) -> str:
    connection.settimeout(0.4)
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
            while len(received) >= 9 and len(received) >= 9 + (size := int.from_bytes(received[:3], "big")):
                kind, flags, payload = received[3], received[4], received[9 : 9 + size]
                received = received[9 + size :]
                if kind == _SETTINGS and not flags & _ACK:
                    connection.sendall(_frame(_SETTINGS, _ACK, b"", 0))
                elif kind == _HEADERS:
                    return _status(payload)
                elif kind in (_RESET, _GOAWAY):
                    return "reset"
    except (TimeoutError, ConnectionError):
        pass
    return "reset"


def _status(block: bytes) -> str:
    while block and block[0] & 0xE0 == 0x20:  # a change of the dynamic table's size
        block = block[1:] if block[0] & 0x1F < 0x1F else block[3:]
    if not block:
        return "4xx"
    return _STATUSES.get(block[0], "4xx")
