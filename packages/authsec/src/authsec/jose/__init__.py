"""Signed JWTs and their keys.

The package reads and writes the compact form (RFC 7515 §7.1). It answers one question: did the holder of this
key sign these octets with an allowed algorithm? `authsec.verifier` checks the claims.

The package does not support MACs, `none`, encryption or JSON serialisation. Only a proof of DPoP (module `dpop`)
may contain its own key in its header.
"""

from __future__ import annotations

from authsec.extras import HOW_TO_INSTALL

try:
    from authsec.jose.keys import SIGNATURE_ALGORITHMS, PrivateKey, PublicKey
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed. APIs that verify tokens, and agents that authenticate with a key pair, "
        f"need it. {HOW_TO_INSTALL}",
        name=missing.name,
    ) from None

from authsec.jose.compact import (
    UnverifiedJws,
    VerifiedJws,
    assemble,
    parse_compact,
    sign_compact,
    signing_input,
    verify_compact,
)
from authsec.jose.keys import JoseError

__all__ = [
    "SIGNATURE_ALGORITHMS",
    "JoseError",
    "PrivateKey",
    "PublicKey",
    "UnverifiedJws",
    "VerifiedJws",
    "assemble",
    "parse_compact",
    "sign_compact",
    "signing_input",
    "verify_compact",
]
