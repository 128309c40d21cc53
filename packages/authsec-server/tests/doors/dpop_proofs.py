"""DPoP proofs (RFC 9449) for the OAuth token endpoint, as a stock client makes them, and spoilt ones."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from authsec.jose import PrivateKey, assemble
from jose_attacks import encoded
from token_endpoint import ISSUER, PATH

URL = ISSUER + PATH
KEYS = {
    "ES256": PrivateKey.generate_ec(),
    "ES384": PrivateKey.generate_ec("P-384"),
    "EdDSA": PrivateKey.generate_ed25519(),
    "RS256": PrivateKey.generate_rsa(),
}
KEY = KEYS["ES256"]


def unsigned_proof(key: PrivateKey, now: Any, header: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
    """What is signed of a proof."""
    members = {"typ": "dpop+jwt", "alg": key.algorithm, "jwk": key.public.to_jwk()} | dict(header or {})
    claims = {"jti": secrets.token_hex(16), "htm": "POST", "htu": URL, "iat": int(now.timestamp())} | changes
    parts = ({name: value for name, value in each.items() if value is not None} for each in (members, claims))
    return ".".join(encoded(json.dumps(part).encode()) for part in parts).encode()


def proof(key: PrivateKey, now: Any, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A proof; `header` and `changes` spoil it, and None leaves a member out."""
    unsigned = unsigned_proof(key, now, header, **changes)
    return assemble(unsigned, key.sign(unsigned))


def sent(*proofs: str) -> list[tuple[str, str]]:
    """The headers of a request with these proofs."""
    return [("DPoP", each) for each in proofs]
