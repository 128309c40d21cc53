"""Servers on loopback for this server to speak to: one that says whatever it is told, with or without TLS."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from authsec_server.outbound import Outbound, Policy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Say = bytes | Callable[[socket.socket, bytes], None]


def http(body: bytes | dict[str, Any], *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP answer."""
    text = json.dumps(body).encode() if isinstance(body, dict) else body
    fields = ("Content-Type: application/json", *headers, f"Content-Length: {len(text)}")
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "", "")).encode() + text


class Peer:
    """Accepts connections one after the other, notes each request in `requests` and answers with `say`.

    `say` is what to send, or does the sending: it gets the connection and the request.
    """

    def __init__(self, say: Say, *, certificate: Certificate | None = None) -> None:
        self.requests: list[bytes] = []
        self.server_names: list[str | None] = []
        self._say = say
        self._tls = certificate.serving(self.server_names) if certificate else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with suppress(OSError):  # the listener was closed: the end
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):  # who asked may hang up
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            connection.settimeout(10)
            request = read_request(connection)
            self.requests.append(request)
            if callable(self._say):
                self._say(connection, request)
            else:
                connection.sendall(self._say)


def read_request(connection: socket.socket) -> bytes:
    """A request's head, and as much of a body as it announces."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        data += piece
        if not piece or data.startswith(b"\x16"):  # gone, or speaking TLS to who does not
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    announced = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(announced[0].partition(b":")[2]) if announced else 0
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


class Certificate:
    """A self-signed certificate for host names."""

    def __init__(self, *names: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a peer of the tests")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.pem = made.public_bytes(serialization.Encoding.PEM)
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self._key = key.private_bytes(serialization.Encoding.PEM, *plain)

    def trusted(self) -> ssl.SSLContext:
        """The trust of a client that knows this certificate and no other."""
        return ssl.create_default_context(cadata=self.pem.decode())

    def serving(self, server_names: list[str | None]) -> ssl.SSLContext:
        """For a server that has it; notes the names that it is asked for (SNI)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            Path(file.name).write_bytes(self._key + self.pem)
            context.load_cert_chain(file.name)

        def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            server_names.append(name)

        context.sni_callback = note
        return context


def outbound(
    *private: str,
    http_hosts: Sequence[str] = (),
    trust: ssl.SSLContext | None = None,
    names: dict[str, list[str]] | None = None,
) -> Outbound:
    """The door, with `private` hosts opened; `names` are the only host names that it can look up."""

    def resolve(host: str) -> list[str]:
        if host not in (names or {}):
            raise OSError
        return (names or {})[host]

    return Outbound(
        Policy.of(http_hosts=http_hosts, private_hosts=private),
        trust=trust or ssl.create_default_context(),
        monotonic=time.monotonic,
        resolve=resolve,
    )
