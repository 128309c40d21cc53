"""An authority as its APIs see it: a signing key, tokens, and a real HTTP server that publishes the key set."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from authsec.clock import Clock
from authsec.errors import InvalidToken
from authsec.jose import PrivateKey, assemble, sign_compact
from authsec.verifier import TokenVerifier
from authsec.verifier.revocations.policy import NoRevocations
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = 1_800_000_000
ISSUER = "https://authsec.example.com"
AUDIENCE = "https://crm.example.com"
METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
UNFOLLOWED: dict[str, Any] = {"revocations": NoRevocations()}  # for tests of what else a verifier does


def rsa_key(name: str = "current") -> PrivateKey:
    """One RSA key a name, made once a run."""
    return _rsa_key(name)


@cache
def _rsa_key(name: str) -> PrivateKey:
    return PrivateKey.generate_rsa()


def jwk_of(key: PrivateKey, kid: str, **members: Any) -> dict[str, Any]:
    return {**key.public.to_jwk(), "kid": kid, "use": "sig", "alg": key.algorithm, **members}


def key_set(*kids: str) -> dict[str, Any]:
    """A JWK Set in which every key is named as in `rsa_key`."""
    return {"keys": [jwk_of(rsa_key(kid), kid) for kid in kids or ("current",)]}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token; a change to None leaves the claim out."""
    good = {
        "iss": ISSUER,
        "sub": "spiffe://example.com/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
        "aud": [AUDIENCE],
        "exp": NOW + 600,
        "nbf": NOW,
        "iat": NOW,
        "jti": "0192f0c1",
        "client_id": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88",
        "scope": "customers:read tickets:write",
        "permissions": ["customers:read", "tickets:write"],
        "roles": ["support"],
        "delegation_ids": ["d1"],
        "authority_version": 7,
        "agent_type": "AutoGen AI agent",
        "attestation": {"method": "kubernetes", "selectors": ["k8s:ns", "k8s:sa"]},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(key: PrivateKey | None = None, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A token signed by the authority, good unless changed."""
    return sign_compact({"typ": "at+jwt", "kid": "current", **(header or {})}, claims(**changes), key or rsa_key())


def raw_token(header: bytes, payload: bytes, key: PrivateKey | None = None) -> str:
    """A correctly signed token of any octets, for what no honest library would write."""
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    return assemble(signed, (key or rsa_key()).sign(signed))


GOOD_HEADER = b'{"alg":"RS256","typ":"at+jwt","kid":"current"}'


def json_with(text: str) -> bytes:
    """The JSON text of good claims, with `text` as further members."""
    return (json.dumps(claims())[:-1] + ", " + text + "}").encode()


class FakeClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.wall = float(NOW)
        self.monotonic = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)


def verifier_of(keys: Any = None, **settings: Any) -> TokenVerifier:
    """A verifier that was handed its keys, at `NOW`."""
    return TokenVerifier(
        ISSUER, AUDIENCE, keys=keys or key_set(), **{"clock": FakeClock().clock(), **UNFOLLOWED, **settings}
    )


def reason_of(verifier: TokenVerifier, bearer: str) -> str:
    """Why the token is refused. Fails if it is not."""
    try:
        verifier.verify(bearer)
    except InvalidToken as error:
        return error.reason
    raise AssertionError("the token was accepted")


@dataclass
class Page:
    """What the fake authority answers at one path.

    `gate` holds the answer back, `drip` waits so many seconds between two bytes of it, and `promises` is a length
    that it does not keep.
    """

    body: bytes
    status: int = 200
    content_type: str | None = "application/json"
    location: str | None = None
    gate: threading.Event | None = None
    drip: float = 0.0
    promises: int | None = None


@dataclass
class FakeAuthority:
    """Serves `pages` on loopback and remembers what was asked for. `live` answers by itself, whatever the query."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    live: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    def publish(self, document: object, path: str = JWKS, **page: Any) -> None:
        self.pages[path] = Page(body=json.dumps(document).encode(), **page)

    def verifier(self, clock: FakeClock, **settings: Any) -> TokenVerifier:
        return TokenVerifier(self.url, AUDIENCE, clock=clock.clock(), **{**UNFOLLOWED, **settings})

    def token(self, kid: str = "current", **changes: Any) -> str:
        return token(rsa_key(kid), header={"kid": kid}, **{"iss": self.url, **changes})

    @property
    def key_sets_fetched(self) -> int:
        return self.asked.count(JWKS)


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FakeAuthority]:
    """A fake authority with metadata and one key, until the block ends; over TLS if it has a certificate."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A handshake that the client breaks off is what some tests are about."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authority.asked.append(self.path)
            if answer := authority.live.get(self.path.partition("?")[0]):
                with suppress(OSError):  # the reader may have hung up
                    answer(self)
                return
            page = authority.pages.get(self.path, Page(body=b"{}", status=404))
            if page.gate is not None:
                page.gate.wait(10)
            self.send_response(page.status)
            if page.content_type is not None:
                self.send_header("Content-Type", page.content_type)
            if page.location is not None:
                self.send_header("Location", page.location)
            self.send_header("Content-Length", str(page.promises or len(page.body)))
            self.end_headers()
            step = 1 if page.drip else 1 << 20
            with suppress(OSError):  # the reader may have had enough
                for start in range(0, len(page.body), step):
                    self.wfile.write(page.body[start : start + step])
                    time.sleep(page.drip)

        do_POST = do_GET  # noqa: N815 - as it is called there

        def log_message(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    authority = FakeAuthority(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
    authority.publish({"issuer": authority.url, "jwks_uri": authority.url + JWKS}, METADATA)
    authority.publish(key_set())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path
