"""An authority on a real socket that answers as it is told: the other side for tests of the agent.

It signs real tokens and really checks an agent's key, but knows nothing of delegations. By default every token request
is granted; `next_answers` changes what the coming ones get.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authsec.jose import JoseError, PrivateKey, PublicKey, sign_compact, verify_compact
from authsec.jose.dpop import DpopError, read_proof

CLIENT_ID = "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
SIGNING_KEY = PrivateKey.generate_rsa()
WELL_KNOWN = tuple(f"/.well-known/{name}/issuer" for name in ("oauth-authorization-server", "openid-configuration"))
TOKEN_PATH = "/authsec/uflow/sdk/delegation-token"
ENROL_PATH = "/authsec/v1/enrolments"
REVOKE_PATH = "/authsec/v1/revoke"
OAUTH_PATH = "/oauth/token"


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What goes out. `raw` takes the connection over instead."""

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[socket.socket], None] | None = None


def refused(status: int, reason: str, details: str = "", **headers: str) -> Reply:
    """A refusal as DESIGN §4 words it."""
    body = {"error": "No.", "reason": reason, "details": details, "retryable": status >= 429, "request_id": "req-7"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def oauth_refused(code: str, status: int = 400, **headers: str) -> Reply:
    """A refusal of the OAuth token endpoint."""
    body = {"error": code, "error_description": "No.", "reason": code, "retryable": False, "request_id": "req-7"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class FakeAuthority:
    """Runs from creation to `close`. `base_url` is its root; `issuer` may differ."""

    def __init__(self, trust: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.seen: list[Seen] = []
        self.tokens: list[str] = []
        self.next_answers: list[Reply | Callable[[Seen], Reply]] = []
        self.documents: dict[str, Reply] = {}
        self.agent_key: PublicKey | None = None
        self.used_jtis: set[str] = set()
        self.life = 3600
        self.nonce: str | None = None  # each DPoP proof has to have it
        self.stopping = threading.Event()
        self._server = _Server((host, 0), _handler(self))
        self._server.daemon_threads = True
        if trust is not None:
            self._server.socket = trust.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.base_url = f"{'https' if trust else 'http'}://{host}:{self.port}"
        self.issuer = f"{self.base_url}/issuer"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def metadata(self) -> dict[str, Any]:
        """What stock OAuth clients find, given the issuer."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.base_url}/jwks",
            "authorization_endpoint": f"{self.base_url}/oauth/authorize",
            "token_endpoint": f"{self.base_url}/oauth/token",
            "response_types_supported": ["none"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        }

    @property
    def token_requests(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.endswith(TOKEN_PATH)]

    def answer(self, seen: Seen) -> Reply:
        if seen.path in self.documents:
            return self.documents[seen.path]
        if seen.path.endswith("/authsec/.well-known/oauth-authorization-server"):
            return Reply(body={"issuer": self.issuer, "jwks_uri": f"{self.base_url}/authsec/.well-known/jwks.json"})
        if seen.path in WELL_KNOWN:
            return Reply(body=self.metadata())
        if seen.path.endswith("/authsec/.well-known/jwks.json"):
            return Reply(body={"keys": [{**SIGNING_KEY.public.to_jwk(), "kid": "k1", "use": "sig", "alg": "RS256"}]})
        if not seen.path.endswith((TOKEN_PATH, ENROL_PATH, REVOKE_PATH, OAUTH_PATH)):
            return Reply(404, b"not here")
        if self.next_answers:
            scripted = self.next_answers.pop(0)
            return scripted(seen) if callable(scripted) else scripted
        if seen.path.endswith(ENROL_PATH):
            return self.enrol(seen)
        if seen.path.endswith(REVOKE_PATH):
            return Reply(200)
        if seen.path.endswith(OAUTH_PATH):
            return self.grant_bound(seen)
        return self.proof_refused(seen) or self.grant(seen)

    def proof_refused(self, seen: Seen) -> Reply | None:
        """RFC 7523 §3, as an authority must check it."""
        if self.agent_key is None:
            return None
        kind, _, assertion = seen.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            return refused(401, "attestation_required")
        return self.assertion_refused(assertion)

    def assertion_refused(self, assertion: str) -> Reply | None:
        assert self.agent_key is not None
        try:
            jws = verify_compact(assertion, self.agent_key, algorithms=("EdDSA", "RS256"))
        except JoseError:
            return refused(401, "attestation_invalid")
        claims, now = jws.claims, time.time()
        right = claims["iss"] == claims["sub"] == CLIENT_ID and claims["aud"] == self.issuer
        in_time = claims["iat"] <= now + 1 and now < claims["exp"] <= now + 61
        fresh = claims["jti"] not in self.used_jtis
        self.used_jtis.add(claims["jti"])
        return None if right and in_time and fresh else refused(401, "attestation_invalid")

    def grant_bound(self, seen: Seen, **changes: Any) -> Reply:
        """A token that is bound to the key of the request's proof (RFC 9449 §5); `changes` are other members."""
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        assert (form["grant_type"], form["client_id"]) == ("client_credentials", CLIENT_ID)
        if self.agent_key is not None and (reply := self.assertion_refused(form["client_assertion"])):
            return reply
        try:
            found = read_proof([seen.headers["DPoP"]], method="POST", url=f"{self.issuer}/oauth/token", now=time.time())
        except DpopError as error:
            return oauth_refused(error.code)
        if self.nonce is not None and found.nonce != self.nonce:
            return oauth_refused("use_dpop_nonce", DPoP_Nonce=self.nonce)
        scope = form.get("scope", "customers:read")
        token = self._token(scope, cnf={"jkt": found.thumbprint})
        self.tokens.append(token)
        body = {"access_token": token, "token_type": "DPoP", "expires_in": self.life, "scope": scope}
        return Reply(body=body | changes)

    def enrol(self, seen: Seen, **changes: Any) -> Reply:
        """Take the machine's key for the agent's, once it is shown to be the machine's own."""
        sent = json.loads(seen.body)
        self.agent_key = PublicKey.from_pem(sent["public_key"])
        shown = verify_compact(sent["possession"], self.agent_key, algorithms=("EdDSA",))
        code = hashlib.sha256(sent["code"].encode()).hexdigest()
        assert (shown.claims["iss"], shown.claims["aud"], shown.claims["code_sha256"]) == (CLIENT_ID, self.issuer, code)
        until = _instant(datetime.now(UTC) + timedelta(hours=8))
        body = {"client_id": CLIENT_ID, "name": "Support", "thumbprint": self.agent_key.thumbprint()}
        return Reply(201, body | {"proof_id": "p", "expires_at": until} | changes)

    def grant(self, seen: Seen | None = None, **changes: Any) -> Reply:
        """The 200 of DESIGN §4; a change to None leaves a member out."""
        scope = (seen.query.get("scope", [""])[0] if seen else "") or "customers:read"
        issued, body = datetime.now(UTC), self._body(scope)
        body["expires_at"] = _instant(issued + timedelta(seconds=self.life))
        body |= changes
        return Reply(body={name: value for name, value in body.items() if value is not None})

    def _body(self, scope: str) -> dict[str, Any]:
        token = self._token(scope)
        self.tokens.append(token)
        return {
            "token": token,
            "expires_in": self.life,
            "token_type": "Bearer",
            "client_id": CLIENT_ID,
            "spiffe_id": f"spiffe://example.org/agent/{CLIENT_ID}",
            "permissions": scope.split(),
            "scope": scope,
            "audience": ["authsec-api"],
            "issued_at": _instant(datetime.now(UTC)),
            "status": "active",
        }

    def _token(self, scope: str, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": f"spiffe://example.org/agent/{CLIENT_ID}",
            "aud": ["authsec-api"],
            "exp": now + self.life,
            "iat": now,
            "nbf": now,
            "jti": secrets.token_hex(16),
            "client_id": CLIENT_ID,
            "scope": scope,
            "permissions": scope.split(),
            "roles": ["support"],
            "delegation_ids": ["7a9b"],
            "authority_version": 1,
            "agent_type": "AutoGen AI agent",
            "attestation": {"method": "none", "selectors": []} if self.agent_key is None else {"method": "key"},
            **changes,
        }
        return sign_compact({"typ": "at+jwt", "kid": "k1"}, claims, SIGNING_KEY)


def hang(authority: FakeAuthority) -> Reply:
    """Says nothing until the authority is closed."""
    return Reply(raw=lambda _: authority.stopping.wait(30) and None)


def drip(authority: FakeAuthority, beginning: bytes) -> Reply:
    """Sends `beginning`, then a space every 50 ms, for as long as anybody listens."""

    def run(connection: socket.socket) -> None:
        connection.sendall(beginning)
        while not authority.stopping.wait(0.05):
            connection.sendall(b" ")

    return Reply(raw=run)


def broken_off() -> Reply:
    """Promises more than it sends."""
    return Reply(raw=lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"))


def gate(authority: FakeAuthority, opened: threading.Event, reply: Reply | None = None) -> Callable[[Seen], Reply]:
    """Holds the answer back until `opened` is set."""

    def run(seen: Seen) -> Reply:
        opened.wait(10)
        return reply or authority.grant(seen)

    return run


@contextmanager
def connect_proxy(target_port: int) -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that takes every CONNECT to one local port. Yields its address and the requests' first bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[str] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either side may hang up: the tunnel's end
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):  # the listener was closed: the end
            while True:
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", target_port)) as upstream:
                    seen.append(client.recv(65536).decode("latin-1"))
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=pump, args=(upstream, client))
                    back.start()
                    pump(client, upstream)
                    back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def basic(userinfo: str) -> str:
    return "Basic " + base64.b64encode(userinfo.encode()).decode()


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are part of the tests; anything else is a mistake in one."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(authority: FakeAuthority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = Seen(parts.path, query, dict(self.headers.items()), body)
            authority.seen.append(seen)
            reply = authority.answer(seen)
            with suppress(OSError):  # the client may have given up
                self.reply(reply)

        do_POST = do_GET  # noqa: N815 - as it is called there

        def reply(self, reply: Reply) -> None:
            self.close_connection = True
            if reply.raw is not None:
                reply.raw(self.connection)
                return
            body = json.dumps(reply.body).encode() if isinstance(reply.body, dict) else reply.body
            headers = {"Content-Type": "application/json", "Date": http_date(datetime.now(UTC)), **reply.headers}
            self.send_response_only(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
            """Quiet."""

    return Handler
