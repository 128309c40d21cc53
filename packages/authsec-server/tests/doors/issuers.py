"""An issuer of workloads' tokens that publishes keys, over real HTTP, and can be told to fail in any way."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from authsec.jose import PrivateKey, PublicKey
from authsec_server.db import Database
from authsec_server.issuers import service
from authsec_server.issuers.key_cache import KeysState
from authsec_server.issuers.key_sets import KeySets
from authsec_server.issuers.model import KeysUnavailable, ProposedTrustedIssuer, TrustedIssuer
from authsec_server.outbound import OutboundLimits
from authsec_server.principal import LOCAL_OPERATOR, Act

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DISCOVERY, JWKS = "/.well-known/openid-configuration", "/jwks"
ONE, TWO = PrivateKey.generate_ec(), PrivateKey.generate_ec()


class Issuer:
    """Publishes `keys` by kid. `metadata` and `members` go over what its two documents say; `answers` are whole HTTP
    answers by path, or what sends one.
    """

    def __init__(self, peers: Any, peer: Callable[..., Any], **options: Any) -> None:
        self.http = peers.http
        self.its = peer(self._say, **options)
        self.url: str = self.its.url
        self.keys: dict[str, PrivateKey] = {"one": ONE}
        self.metadata: dict[str, Any] = {}
        self.members: dict[str, Any] = {}
        self.answers: dict[str, bytes | Callable[[socket.socket], None]] = {}
        self.asked: list[str] = []

    def jwks(self) -> dict[str, Any]:
        """Its key set."""
        return {"keys": [{**key.public.to_jwk(), "kid": kid} for kid, key in self.keys.items()]} | self.members

    def fails(self, status: str = "500 Internal Server Error") -> None:
        """From now on it has nothing to say."""
        self.answers = dict.fromkeys((DISCOVERY, JWKS), self.http(b"{}", status=status))

    def recovers(self) -> None:
        """And from now on it has again."""
        self.answers = {}

    def says(self, document: dict[str, Any], path: str = JWKS) -> None:
        """From now on it answers so."""
        self.answers[path] = self.http(document)

    def _say(self, connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        self.asked.append(path)
        said = self.answers.get(path)
        if callable(said):
            said(connection)
            return
        metadata = {"issuer": self.url, "jwks_uri": self.url + JWKS} | self.metadata
        connection.sendall(said or self.http(metadata if path == DISCOVERY else self.jwks()))


@dataclass
class Asking:
    """A trusted issuer at that issuer, and this server as it looks for its keys."""

    issuer: Issuer
    database: Database
    outbound: Any
    trusted_issuer: TrustedIssuer = field(init=False)
    key_sets: KeySets = field(init=False)
    at: datetime = NOW
    ahead: float = 0.0  # by how many seconds the monotonic clock is ahead of the other

    def __post_init__(self) -> None:
        self.trusted_issuer = self.register()
        self.restart()

    def register(self, **what: Any) -> TrustedIssuer:
        """A trusted issuer at this issuer."""
        asked = {"name": "CI", "kind": "oidc", "issuer": self.issuer.url, "keys_from": "discovery", "preset": "gitlab"}
        trusted_issuer = ProposedTrustedIssuer(**{**asked, **what})
        return self.database.change(lambda tx: service.create(tx, self.act, trusted_issuer))

    def edit(self, **what: Any) -> None:
        """Change the trusted issuer."""
        read = self.trusted_issuer.revision
        self.trusted_issuer = self.database.change(
            lambda tx: service.edit(tx, self.act, self.trusted_issuer.id, revision=read, changes=what)
        )

    def restart(self, limits: OutboundLimits = OutboundLimits(seconds=2)) -> None:  # noqa: B008 - a frozen value
        """Another process over the same database, which knows nothing yet."""
        self.key_sets = KeySets(
            self.database,
            self.outbound,
            now=lambda: self.at,
            monotonic=lambda: self.at.timestamp() + self.ahead,
            limits=limits,
        )

    def wait(self, **amount: float) -> None:
        """Time goes by."""
        self.at += timedelta(**amount)

    def set_back(self, **amount: float) -> None:
        """Somebody sets the clock back."""
        self.at -= timedelta(**amount)
        self.ahead += timedelta(**amount).total_seconds()

    def find(self, kid: str = "one") -> PublicKey | None:
        """The trusted issuer's key of this name."""
        return self.key_sets.find(self.trusted_issuer, kid)

    def has(self, kid: str = "one") -> bool:
        """Whether the trusted issuer has a key of this name."""
        return self.find(kid) is not None

    def lands(self) -> None:
        """The fetch that is under way has ended."""
        for thread in threading.enumerate():
            if thread.name == f"authsec-keys-{self.trusted_issuer.slug}":
                thread.join(20)

    def failure(self, kid: str = "one") -> str:
        """Why its keys cannot be had; empty if they can."""
        try:
            self.find(kid)
        except KeysUnavailable as error:
            return error.sentence
        return ""

    def state(self) -> KeysState:
        """How they stand."""
        return self.key_sets.state(self.trusted_issuer)

    @property
    def fetches(self) -> int:
        """How often the issuer was asked for its keys."""
        return self.issuer.asked.count(JWKS)

    @property
    def act(self) -> Act:
        """The local operator, now."""
        return Act(
            principal=LOCAL_OPERATOR,
            now=self.at,
            request_id="req_00000000000000000000test",
            address="",
            token_bytes=secrets.token_bytes,
        )
