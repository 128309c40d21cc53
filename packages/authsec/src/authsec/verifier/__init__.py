"""Verification of delegation tokens, for the API that receives them.

`checks` is the list of what a token must pass, `key_set` and `published_keys` know whose signature counts, `token` is
what comes out. Signatures themselves are the business of `authsec.jose`, HTTP answers that of `authsec.asgi`.
"""

from __future__ import annotations

from authsec.verifier.health import Health
from authsec.verifier.introspection.asking import IntrospectionHealth
from authsec.verifier.key_set import KeysHealth
from authsec.verifier.revocations.following import FeedHealth, Revocations
from authsec.verifier.several import SeveralAuthorities, Verifier
from authsec.verifier.token import Attestation, VerifiedToken
from authsec.verifier.verifier import TokenVerifier

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
