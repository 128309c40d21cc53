"""An OpenID provider that signs real ID tokens and lies when told to: the other side for tests of the sign-in."""

from __future__ import annotations

import base64
import json
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.accounts.oidc import Finished, OpenIdSignIn, sign_in_of
from authsec_server.outbound import outbound_of
from authsec_server.settings import load_settings
from ready_keys import OWN as SIGNING_KEY

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SETTINGS = {
    "oidc_client_id": "authsec",
    "oidc_admin_values": "admins",
    "oidc_operator_values": "operators",
    "oidc_viewer_values": "viewers, guests",
    "outbound_private_hosts": "127.0.0.1",
}


class FakeProvider:
    """What it says can be changed: `metadata`, `keys` (by kid), `claims` and `header` of ID tokens (None leaves one
    out), `userinfo`, and `answers`, whole HTTP answers by path.

    It has a clock, which the server under test shares.
    """

    def __init__(self, peers: Any, peer: Callable[..., Any]) -> None:
        self._http = peers.http
        self.its = peer(self._say)
        self.issuer: str = self.its.url
        self.now = NOW
        self.metadata: dict[str, Any] = {}
        self.keys: dict[str, PrivateKey] = {"one": SIGNING_KEY}
        self.signer = "one"
        self.claims: dict[str, Any] = {"email": "mary@example.com", "name": "Mary", "roles": ["admins"]}
        self.header: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.access_token = "an access token"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that signs people in here."""
        return {"oidc_issuer": self.issuer} | SETTINGS

    def sign_in(self, **settings: str) -> OpenIdSignIn:
        """A server that signs people in here."""
        its = load_settings(**self.settings | settings)
        built = sign_in_of(
            its,
            outbound_of(its, lambda: self.now.timestamp()),
            now=lambda: self.now,
            monotonic=lambda: self.now.timestamp(),
            token_bytes=secrets.token_bytes,
        )
        assert built is not None
        return built

    def wait(self, **amount: float) -> None:
        """Time goes by."""
        self.now += timedelta(**amount)

    def approve(self, url: str, **changes: str) -> list[tuple[str, str]]:
        """Somebody signs in here at `url`: the query that their browser brings back."""
        asked = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return [*({"code": code, "state": asked["state"]} | changes).items()]

    def walk(self, its: OpenIdSignIn, wanted: str = "/console", **changes: str) -> Finished:
        """A whole sign-in in one browser."""
        begun = its.begin(wanted)
        return its.finish(begun.transaction, self.approve(begun.url, **changes))

    def id_token(self, nonce: str) -> str:
        """An ID token, as wrong as it was told to be."""
        key = self.keys[self.signer]
        seconds = int(self.now.timestamp())
        claims = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": "authsec",
            "iat": seconds,
            "exp": seconds + 300,
            "nonce": nonce,
        } | self.claims
        header = {"alg": key.algorithm, "kid": self.signer} | self.header
        unsigned = signing_input(
            {name: value for name, value in header.items() if value is not None},
            {name: value for name, value in claims.items() if value is not None},
        )
        return assemble(unsigned, key.sign(unsigned))

    def discovery(self) -> dict[str, Any]:
        """How it describes itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        } | self.metadata

    def jwks(self) -> dict[str, Any]:
        """Its keys."""
        return {"keys": [key.public.to_jwk() | {"kid": kid, "use": "sig"} for kid, key in self.keys.items()]}

    def _say(self, connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        self.asked.append(path)
        said = self.answers.get(path) or self._answer(path, request)
        connection.sendall(said)

    def _answer(self, path: str, request: bytes) -> bytes:
        match path:
            case "/.well-known/openid-configuration":
                document = self.discovery()
            case "/jwks":
                document = self.jwks()
            case "/userinfo":
                document = {"sub": "248289761001"} | self.userinfo
            case "/token":
                return self._redeem(dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode())))
            case _:
                return bytes(self._http(b"", status="404 Not Found"))
        return bytes(self._http({name: value for name, value in document.items() if value is not None}))

    def _redeem(self, form: dict[str, str]) -> bytes:
        asked = self.codes.pop(form["code"], None)
        digest = sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        fits = asked is not None and (asked["code_challenge"], asked["redirect_uri"]) == (
            challenge,
            form["redirect_uri"],
        )
        if asked is None or not fits:
            return bytes(self._http({"error": "invalid_grant"}, status="400 Bad Request"))
        tokens = {
            "id_token": self.id_token(asked["nonce"]),
            "access_token": self.access_token,
            "token_type": "Bearer",
        }
        return bytes(self._http(json.dumps(tokens).encode()))
