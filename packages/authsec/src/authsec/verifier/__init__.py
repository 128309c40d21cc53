"""Verification of delegation tokens, for the API that receives them.

`checks` lists the checks that a token must pass. `key_set` and `published_keys` provide the keys that verify
the token. `token` is the result. `authsec.jose` verifies signatures; `authsec.gate` makes the HTTP responses.
"""

from __future__ import annotations

from authsec.verifier.introspection import IntrospectionHealth
from authsec.verifier.key_set import KeysHealth
from authsec.verifier.revocations.policy import FeedHealth, Revocations
from authsec.verifier.several_authorities import SeveralAuthorities, Verifier
from authsec.verifier.token import Attestation, VerifiedToken
from authsec.verifier.verifier import Health, TokenVerifier

__all__ = [
    "Attestation",
    "FeedHealth",
    "Health",
    "IntrospectionHealth",
    "KeysHealth",
    "Revocations",
    "SeveralAuthorities",
    "TokenVerifier",
    "VerifiedToken",
    "Verifier",
]
