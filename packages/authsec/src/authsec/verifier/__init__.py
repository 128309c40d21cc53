"""Verification of delegation tokens, for the API that receives them.

`authsec.jose` verifies signatures; `authsec.gate` makes the HTTP responses.

| module | owns |
|---|---|
| `verifier` | options of `TokenVerifier`; the order: cache, signature, checks, revocations |
| `checks` | every check of header and claims, with its reason and remedy |
| `token` | the fields of `VerifiedToken`; `require` |
| `verification_cache` | which verified tokens are kept for the next request |
| `published_keys`, `key_set` | when the authority's keys are fetched again; the key for a `kid` in a given set |
| `key_binding`, `replay_store` | tokens that are bound to a key (DPoP): the check of a request; its used proofs |
| `documents` | fetch metadata and key sets: limits of size and time, allowed addresses |
| `revocations/` | the authority's feed of revocations; `policy` decides what happens while the feed is stale |
| `introspection` | the request to the authority about one token; how long its answer is kept |
| `issuer`, `several_authorities` | which issuers are accepted; which of several verifiers verifies a token |
| `refusal_log` | the operator's log of tokens for another API or authority, and of bound tokens; limits of logs |
| `sync_or_async` | the same verification code for coroutines and for threads |
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from authsec.verifier.introspection import IntrospectionHealth
    from authsec.verifier.key_binding import DpopRequest
    from authsec.verifier.key_set import KeysHealth
    from authsec.verifier.revocations.policy import FeedHealth, Revocations
    from authsec.verifier.several_authorities import SeveralAuthorities, Verifier
    from authsec.verifier.token import Attestation, VerifiedToken
    from authsec.verifier.verifier import Health, TokenVerifier

__all__ = [
    "Attestation",
    "DpopRequest",
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

_MODULES = {
    "Attestation": "token",
    "DpopRequest": "key_binding",
    "FeedHealth": "revocations.policy",
    "Health": "verifier",
    "IntrospectionHealth": "introspection",
    "KeysHealth": "key_set",
    "Revocations": "revocations.policy",
    "SeveralAuthorities": "several_authorities",
    "TokenVerifier": "verifier",
    "VerifiedToken": "token",
    "Verifier": "several_authorities",
}


def __getattr__(name: str) -> Any:
    """Import each public name on first use (PEP 562). A server that verifies with `key_set` needs no HTTP client."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"authsec.verifier.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
