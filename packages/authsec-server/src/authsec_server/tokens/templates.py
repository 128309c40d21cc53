"""The common parts of the tokens of one decision: claims, audit event and answer, with placeholders.

Two requests of a client with the same proof, actions and resources get tokens that differ only in times, `jti` and
authority version. So the server decides and writes the text only once. A template is used only with facts that are
equal to those that it was made from, and only while `decide` would return the same result. Facts that were read at
another authority version may be equal.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

from authsec import strict_json

from authsec_server.attestation.model import Proved
from authsec_server.audit.event_batches import EventTemplate
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.delegations.model import title
from authsec_server.keys.model import Algorithm
from authsec_server.tokens.claims import claims, header
from authsec_server.tokens.decision import Facts, Granted, Issuance
from authsec_server.tokens.records import details_of_proof

_HOLES: Final = ("authority_version", "exp", "iat", "jti", "nbf")

TemplateKey: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The claims and the event of a granted token, without times, `jti`, ids of the request and authority version.

    Between `since` and `until`, `decide` returns the same result. Both are None if no end date can change the result.
    """

    lifetime: int  # seconds
    algorithm: Algorithm
    since: datetime | None
    until: datetime | None
    event: EventTemplate
    _pieces: tuple[str, ...]  # the JSON text of the claims, split at the placeholders
    _answer: str  # the members of the answer that are the same for all
    _scope: str
    _type: str

    def is_valid(self, now: datetime) -> bool:
        """Whether `decide` would return at `now` the same result as for this template."""
        return self.since is None or self.until is None or self.since <= now <= self.until

    def signing_input(self, kid: str, issued_at: int, jti: str, version: int) -> bytes:
        """Return the bytes to sign (RFC 7515 section 5.1) for a token of this authority version and this second."""
        one, two, three, four, five, six = self._pieces
        text = f"{one}{version}{two}{issued_at + self.lifetime}{three}{issued_at}{four}{jti}{five}{issued_at}{six}"
        return _header(kid, self.algorithm) + b"." + _base64url(text.encode())

    def oauth_answer(self, token: str) -> bytes:
        """Return the answer of the OAuth token endpoint (RFC 6749 section 5.1), as JSON."""
        return (
            f'{{"access_token":"{token}","token_type":"{self._type}",'
            f'"expires_in":{self.lifetime},"scope":"{self._scope}"}}'
        ).encode()

    def answer(self, token: str, issued_at: int) -> bytes:
        """Return the answer to the request (docs/endpoint.md), as JSON."""
        return (
            f'{{"token":"{token}","expires_at":"{_instant(issued_at + self.lifetime)}",{self._answer}'
            f'"issued_at":"{_instant(issued_at)}","status":"active"}}'
        ).encode()


def key_of(proved: Proved, actions: tuple[str, ...] | None) -> TemplateKey:
    """Return the key of a template: the actions, and the proof without its single-use part.

    Together with the facts, these values determine the token.
    """
    return (
        proved.proof_id,
        proved.kind,
        proved.trusted_issuer_kind,
        proved.trusted_issuer_id,
        proved.trusted_issuer_revision,
        proved.selectors,
        tuple(sorted(proved.proved_by.items())),
        proved.validation,
        actions,
    )


def template_of(facts: Facts, granted: Granted, issuance: Issuance, now: datetime) -> Template:
    """Return the template of the token that `decide` granted at `now` with these facts."""
    its = claims(granted, issuer=issuance.issuer, trust_domain=issuance.trust_domain, jti="", now=now)
    until = _until(facts, granted, now)
    return Template(
        lifetime=granted.lifetime,
        algorithm=granted.algorithm,
        since=None if until is None else now,
        until=until,
        event=EventTemplate.of(_event(granted, now), is_kept=not granted.thumbprint),
        _pieces=_pieces(its),
        _answer=_answer(its),
        _scope=its["scope"],  # the characters of actions need no escape in JSON
        _type="DPoP" if granted.thumbprint else "Bearer",
    )


def _until(facts: Facts, granted: Granted, now: datetime) -> datetime | None:
    """Return the last moment at which no end date shortens the token; None without an end date.

    A delegation or the proof may have an end date.
    """
    ends = [
        each.delegation.ends_at - timedelta(seconds=each.delegation.max_duration)
        for each in facts.authorities
        if each.delegation.ends_at is not None and each.delegation.ends_at > now
    ]
    if facts.client is not None:
        ends += [
            proof.expires_at - timedelta(seconds=granted.lifetime)
            for proof in facts.client.proofs
            if proof.id == granted.proved.proof_id and proof.expires_at is not None
        ]
    return min(ends, default=None)


def _pieces(its: dict[str, Any]) -> tuple[str, ...]:
    """Return the canonical JSON text of the claims, split at the placeholders."""
    pieces, piece = list[str](), "{"
    for name in sorted(its):
        piece += f'"{name}":'
        if name not in _HOLES:
            piece += strict_json.dumps(its[name]).decode()
        else:
            quote = '"' if name == "jti" else ""
            pieces.append(piece + quote)
            piece = quote
        piece += ","
    first, second, *middle = pieces
    return (first, second, *map(sys.intern, middle), piece[:-1] + "}")  # the middle is the same for all


def _answer(its: dict[str, Any]) -> str:
    members = {
        "expires_in": its["exp"] - its["iat"],
        "token_type": "Bearer",
        "client_id": its["client_id"],
        "spiffe_id": its["sub"],
        "permissions": its["permissions"],
        "scope": its["scope"],
        "audience": its["aud"],
    }
    return json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":"))[1:-1] + ","


@lru_cache(maxsize=256)  # the tokens of one second have the same times
def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _event(granted: Granted, now: datetime) -> Event:
    return Event(
        at=now,
        kind=EventKind.TOKEN_ISSUED,
        request_id="",
        client=Named(id=granted.client.id, name=granted.client.name),
        delegations=tuple(
            Named(id=source.delegation.id, name=title(source.role.name, granted.client.name))
            for source in granted.sources
        ),
        roles=tuple(Named(id=source.role.id, name=source.role.name) for source in granted.sources),
        decision=Decision.GRANTED,
        detail={
            "actions": list(granted.actions),
            "audience": list(granted.audience),
            "attestation": granted.proved.method,
            "proof_id": granted.proved.proof_id,
        }
        | ({"jkt": granted.thumbprint} if granted.thumbprint else {})
        | details_of_proof(granted.proved, granted.trusted_issuer),
    )


@lru_cache(maxsize=16)
def _header(kid: str, algorithm: Algorithm) -> bytes:
    return _base64url(strict_json.dumps(dict(header(kid, algorithm))))


def _base64url(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
