"""Token introspection (RFC 7662): does this token count at this moment? Asked by the API that was sent it.

The answer is the authority's own, from its database: signature, time, and whether anything that the token rests on has
ended. It is no row of the journal: it changes nobody's authority, and an API that cannot follow the feed asks many
times a minute, so the rows that matter would drown. Those who are turned away are counted there (`apis.proving`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authsec.jose import VerifiedJws

from authsec_server.db import Database, Tx
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Subject, rests_on
from authsec_server.tokens.own_tokens import OwnTokens

LEEWAY = 30  # seconds by which the server that issued the token may be ahead of this one, as verifiers allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """Answers for tokens of this authority. Blocks its thread; raises `Unavailable`."""

    database: Database
    ours: OwnTokens
    now: Callable[[], datetime]

    def active(self, token: str, audience: str) -> Mapping[str, Any] | None:
        """The claims of a token that counts now at the API with this audience; None for whatever else it is.

        A token for another API is nothing here, so that no API learns what it was not sent (RFC 7662 section 4).
        """
        jws = self.ours.read(token)
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
    """One statement, by an index, whatever the token rests on."""
    return bool(revocations.after(tx, subjects(jws.header["kid"], jws.claims), jws.claims["authority_version"]))


def subjects(kid: str, claims: Mapping[str, Any]) -> frozenset[Subject]:
    """What a token with these claims rests on."""
    return rests_on(
        client=claims["client_id"],
        delegations=claims["delegation_ids"],
        roles=claims["roles"],
        proof=claims["attestation"].get("proof", ""),
        trusted_issuer=claims["attestation"].get("source", ""),
        kid=kid,
        jti=claims["jti"],
    )
