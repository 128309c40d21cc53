"""A caller whose token is bound to a key, the requests that it sends, and every door of an API that takes them."""

from __future__ import annotations

import asyncio
import atexit
import json
import secrets
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import flask
from authsec.asgi import BearerAuth as AsgiAuth
from authsec.asgi import identity_of
from authsec.fastapi import agent
from authsec.flask import protect
from authsec.gate import Gate
from authsec.jose import PrivateKey, sign_compact
from authsec.jose.dpop import make_proof, token_hash
from authsec.verifier import TokenVerifier
from authsec.verify_server.decision import Gates
from authsec.verify_server.fastcgi import FastCgi
from authsec.verify_server.http import VerifyApp
from authsec.wsgi import BearerAuth as WsgiAuth
from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import JSONResponse

from .asking_verify_server import pairs, record, records_of
from .fake_keys import AUDIENCE, NOW, key_set, token, verifier_of
from .speaking_asgi import speak

ORIGIN = AUDIENCE
PATH = "/customers/42"
URL = ORIGIN + PATH


@dataclass(frozen=True)
class Sent:
    """A request to an API."""

    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    path: str = PATH


@dataclass(frozen=True)
class Outcome:
    """What a door makes of a request: `reason` is empty if the API was reached."""

    status: int
    reason: str = ""
    challenge: str = ""


@dataclass(frozen=True)
class Holder:
    """Has a key, and a token that is bound to it."""

    key: PrivateKey = field(default_factory=PrivateKey.generate_ec)
    at: int = NOW

    def token(self, **changes: Any) -> str:
        return token(**{"cnf": {"jkt": self.key.public.thumbprint()}, **changes})

    def proof(self, bound: str | None, **changes: Any) -> str:
        wanted = {"method": "GET", "url": URL, "now": self.at, "jti": secrets.token_hex(8), "access_token": bound}
        return make_proof(changes.pop("key", self.key), **{**wanted, **changes})

    def forged(self, bound: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A proof of other members; a change to None leaves the claim out."""
        good = {"jti": secrets.token_hex(8), "htm": "GET", "htu": URL, "iat": self.at, "ath": token_hash(bound)}
        changed = {name: value for name, value in {**good, **claims}.items() if value is not None}
        heads = {"typ": "dpop+jwt", "jwk": self.key.public.to_jwk(), **(header or {})}
        return sign_compact(heads, changed, self.key)

    def sent(self, **changes: Any) -> Sent:
        """A request with a fresh proof."""
        bound = self.token()
        return by_dpop(bound, self.proof(bound), **changes)


def by_dpop(bound: str, *proofs: str, method: str = "GET", path: str = PATH, **headers: str) -> Sent:
    """A request with this token by the scheme DPoP, and with these proofs."""
    others = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Sent((("Authorization", f"DPoP {bound}"), *(("DPoP", proof) for proof in proofs), *others), method, path)


def dpop_verifier(**settings: Any) -> TokenVerifier:
    """A verifier of the API at `ORIGIN`, at `NOW`."""
    return verifier_of(**{"dpop_origin": ORIGIN, **settings})


def through_asgi(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        identity_of(scope).require("customers:read")
        await JSONResponse({})(scope, receive, send)

    return through_asgi_app(AsgiAuth(app, verifier=verifier), requests)


def through_fastapi(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    app = FastAPI()
    app.add_middleware(AsgiAuth, verifier=verifier)

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"], dependencies=[Depends(agent("customers:read"))])
    def show(request: Request) -> dict[str, str]:
        return {}

    return through_asgi_app(app, requests)


def through_wsgi(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"{}"]

    return [_by_wsgi(WsgiAuth(app, verifier=verifier), sent) for sent in requests]


def through_flask(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    app = flask.Flask(__name__)
    protect(app, verifier=verifier)

    @app.route("/", methods=["GET", "POST", "DELETE"])
    @app.route("/<path:path>", methods=["GET", "POST", "DELETE"])
    def show(path: str = "") -> dict[str, str]:
        return {}

    return [_by_wsgi(app.wsgi_app, sent) for sent in requests]


def through_verify_server(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    """As nginx asks: it writes method and URL, and passes on the caller's two headers and no other."""

    def asked(sent: Sent) -> Sent:
        passed = tuple((name, value) for name, value in sent.headers if name.lower() in {"authorization", "dpop"})
        told = (("X-Original-Method", sent.method), ("X-Original-URI", f"{sent.path}?page=2"))
        return Sent((*passed, *told), "GET", "/verify?dpop=original&require=customers:read")

    return through_asgi_app(_verify_app(verifier), [asked(sent) for sent in requests])


def through_envoy(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    """As Envoy asks: with the caller's method, and its path after a prefix."""
    prefix = "/verify/require=customers:read"
    asked = [Sent(sent.headers, sent.method, f"{prefix}{sent.path}") for sent in requests]
    return through_asgi_app(_verify_app(verifier), asked)


def through_fastcgi(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    """As Apache asks: in the variables of CGI, where several headers of one name are joined."""

    async def answers() -> list[Outcome]:
        gates = Gates({verifier.audience: Gate(verifier=verifier)})
        server = await asyncio.start_server(FastCgi(gates).serve, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            return [await asyncio.to_thread(_by_fastcgi, address, sent) for sent in requests]

    return asyncio.run(answers())


@cache
def _django() -> subprocess.Popen[str]:
    program = Path(__file__).with_name("django_with_dpop.py")
    process = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def through_django(verifier: TokenVerifier, requests: Sequence[Sent], *, under: str = "wsgi") -> list[Outcome]:
    """In a process of its own, since Django takes its settings once a process."""
    asked = [[sent.method, sent.path, sent.headers] for sent in requests]
    settings = {"dpop_origin": ORIGIN, "dpop_required": verifier.requires_dpop}
    process = _django()
    assert process.stdin is not None
    assert process.stdout is not None
    given = {"keys": key_set(), "now": NOW, "requests": asked, "settings": settings, "under": under}
    process.stdin.write(f"{json.dumps(given)}\n")
    process.stdin.flush()
    found = json.loads(process.stdout.readline())
    assert found is not None, "see stderr"
    return [Outcome(*each) for each in found]


def through_django_asgi(verifier: TokenVerifier, requests: Sequence[Sent]) -> list[Outcome]:
    return through_django(verifier, requests, under="asgi")


Door = Callable[[TokenVerifier, Sequence[Sent]], list[Outcome]]
DOORS: dict[str, Door] = {
    "asgi": through_asgi,
    "fastapi": through_fastapi,
    "wsgi": through_wsgi,
    "flask": through_flask,
    "django": through_django,
    "django under asgi": through_django_asgi,
    "verify-server": through_verify_server,
    "verify-server, as Envoy asks": through_envoy,
    "verify-server over FastCGI": through_fastcgi,
}


def _verify_app(verifier: TokenVerifier) -> VerifyApp:
    return VerifyApp(Gates({verifier.audience: Gate(verifier=verifier)}), health=lambda: NotImplemented)


def through_asgi_app(app: Any, requests: Sequence[Sent]) -> list[Outcome]:
    return [_asgi_answer(app, sent) for sent in requests]


def _asgi_answer(app: Any, sent: Sent) -> Outcome:
    raw, _, query = sent.path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.headers],
    }
    answer = speak(app, scope, [{"type": "http.request", "body": b"", "more_body": False}])
    headers = {name.decode(): value.decode() for name, value in answer[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in answer[1:])
    return _outcome(answer[0]["status"], headers.get("www-authenticate", ""), body)


def _by_wsgi(app: Any, sent: Sent) -> Outcome:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(sent.path, "latin-1"),
        "RAW_URI": sent.path,
        "SERVER_NAME": "crm",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        **_variables(sent),
    }
    begun: list[Any] = []
    content = b"".join(app(environ, lambda *arguments: begun.append(arguments)))
    status, headers = begun[-1][:2]
    found = {name.lower(): value for name, value in headers}
    return _outcome(int(status.split()[0]), found.get("www-authenticate", ""), content)


def _by_fastcgi(address: tuple[str, int], sent: Sent) -> Outcome:
    variables = {
        "AUTHSEC_VERIFY": "require=customers:read",
        "REQUEST_METHOD": sent.method,
        "REQUEST_URI": f"{sent.path}?page=2",
        **_variables(sent),
    }
    records = [record(1, struct.pack("!HB5x", 2, 0)), record(4, pairs(variables)), record(4)]
    answer = b"".join(content for kind, content in records_of(address, b"".join(records)) if kind == 6).decode()
    head, _, body = answer.partition("\r\n\r\n")
    lines = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
    return _outcome(int(lines["status"].split()[0]), lines.get("www-authenticate", ""), body.encode())


def _variables(sent: Sent) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for name, value in sent.headers:
        joined.setdefault(f"HTTP_{name.upper().replace('-', '_')}", []).append(value)
    return {name: ",".join(values) for name, values in joined.items()}


def _outcome(status: int, challenge: str, body: bytes) -> Outcome:
    reason = json.loads(body)["reason"] if body and status >= 400 else ""
    return Outcome(200 if status == 204 else status, reason, challenge)
