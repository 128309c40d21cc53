"""Signed JWTs and their keys.

The package reads and writes the compact form (RFC 7515 §7.1) and answers one question: did the holder of this key
sign these octets with an algorithm that I allow? What the claims mean is decided elsewhere (`authsec.verifier`).

Left out on purpose: MACs and `none`, encryption, JSON serialisation, and every header that brings its own key.
"""

from __future__ import annotations

try:
    from authsec.jose.keys import PrivateKey, PublicKey
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed. Verifying and signing tokens needs an extra of this package: "
        "authsec[verify] for an API, authsec[key] for an agent that proves itself with a key pair.",
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
from authsec.jose.errors import JoseError

__all__ = [
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
