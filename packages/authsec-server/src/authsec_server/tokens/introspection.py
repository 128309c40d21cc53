"""Token introspection (RFC 7662): tell an API whether a token that it received is valid at this moment.

The answer comes from this authority's database. The authority checks the signature, the times, and whether
a subject that the token depends on has ended.

The audit log does not record introspections, because they change nobody's authority. An API that cannot
follow the revocation feed asks many times a minute, and its requests would hide important events. The audit
log counts refused callers (`apis.authentication`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authsec.jose import VerifiedJws

from authsec_server.db import Database, Tx
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Subject, subjects_of_token
from authsec_server.tokens.own_tokens import OwnTokens

LEEWAY = 30  # seconds by which the server that issued the token may be ahead of this one, as verifiers allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """Checks tokens of this authority for APIs. A call blocks its thread, and may raise `Unavailable`."""

    database: Database
    own_tokens: OwnTokens
    now: Callable[[], datetime]

    def active(self, token: str, audience: str) -> Mapping[str, Any] | None:
        """Return the claims if the token is valid at the API with this audience. Otherwise return None.

        For a token of another API, the result is also None. An API must learn nothing about such a token (RFC 7662
        section 4).
        """
        jws = self.own_tokens.read(token)
        if jws is None or audience not in _audiences(jws):
            return None
        now = int(self.now().timestamp())
        if not max(jws.claims["nbf"], jws.claims["iat"]) - LEEWAY <= now < jws.claims["exp"]:
            return None
        return None if self.database.read(lambda tx: _ended(tx, jws)) else jws.claims


def _audiences(jws: VerifiedJws) -> list[str]:
    audience = jws.claims["aud"]
    return [audience] if isinstance(audience, str) else audience


def _ended(tx: Tx, jws: VerifiedJws) -> bool:
    """Return whether the token was revoked. One indexed SQL statement checks any number of subjects."""
    return bool(revocations.after(tx, subjects(jws.header["kid"], jws.claims), jws.claims["authority_version"]))


def subjects(kid: str, claims: Mapping[str, Any]) -> frozenset[Subject]:
    """Return the subjects that a token depends on, such as its client, delegations and proof. `kid` is its key."""
    return subjects_of_token(
        client=claims["client_id"],
        delegations=claims["delegation_ids"],
        roles=claims["roles"],
        proof=claims["attestation"].get("proof", ""),
        trusted_issuer=claims["attestation"].get("source", ""),
        kid=kid,
        jti=claims["jti"],
    )
