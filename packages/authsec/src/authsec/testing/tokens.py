"""Tokens with the same claims as an authority's tokens, signed with a key of this process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from authsec.jose import PrivateKey, sign_compact
from authsec.verifier.issuer import THROWAWAY_ISSUER as ISSUER

KID: Final = "throwaway"
CLIENT_ID: Final = "00000000-0000-4000-8000-000000000001"
DELEGATION: Final = "00000000-0000-4000-8000-000000000002"

__all__ = ["CLIENT_ID", "ISSUER", "key_set", "mint"]


@cache
def _key() -> PrivateKey:
    """Generate the key once per process, because that takes tenths of a second."""
    return PrivateKey.generate_rsa()


def key_set() -> dict[str, Any]:
    """Return the published key set (RFC 7517)."""
    return {"keys": [{**_key().public.to_jwk(), "kid": KID, "use": "sig", "alg": "RS256"}]}


def mint(
    *,
    permissions: Sequence[str],
    audience: Sequence[str],
    client_id: str,
    expires_in: int,
    version: int,
    claims: Mapping[str, Any],
) -> str:
    """Sign a token with these values and with all other claims that an authority writes.

    Each of `claims` replaces a claim of the token; the value None removes the claim.
    """
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "sub": f"spiffe://authsec.invalid/agent/{client_id}",
        "aud": list(audience),
        "exp": now + expires_in,
        "iat": now,
        "nbf": now,
        "jti": secrets.token_hex(16),
        "client_id": client_id,
        "scope": " ".join(permissions),
        "permissions": list(permissions),
        "roles": ["test"],
        "delegation_ids": [DELEGATION],
        "authority_version": version,
        "agent_type": "Other AI agent",
        "attestation": {"method": "none", "selectors": []},
    }
    whole = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return sign_compact({"typ": "at+jwt", "kid": KID}, whole, _key())
