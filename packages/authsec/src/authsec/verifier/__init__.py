"""Verification of delegation tokens, for the API that receives them.

`authsec.jose` verifies signatures; `authsec.gate` makes the HTTP responses.

| module | owns |
|---|---|
| `verifier` | options of `TokenVerifier`; the order: cache, signature, checks, revocations |
| `checks` | every check of header and claims, with its reason and remedy |
| `token` | the fields of `VerifiedToken`; `require` |
| `verification_cache` | which results are kept for the next request |
| `published_keys`, `key_set` | when the authority's keys are fetched again; the key for a `kid` in a given set |
| `documents` | fetch metadata and key sets: limits of size and time, allowed addresses |
| `revocations/` | follow the revocation feed; `policy` decides what happens without fresh revocations |
| `introspection` | ask the authority about one token: how often, how long an answer is kept |
| `issuer`, `several_authorities` | which issuers are accepted; which of several verifiers decides |
| `mismatch_log` | the operator's log of tokens for another API or authority |
| `sync_or_async` | run the same steps for coroutines and for threads |
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
