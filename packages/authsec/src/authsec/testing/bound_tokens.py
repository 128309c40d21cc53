"""Tokens of the throwaway authority that are bound to a key (DPoP, RFC 9449)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from authsec.jose.dpop import DpopError, DpopProof, read_proof
from authsec.testing.endpoint import HttpAnswer

_PATH = "/oauth/token"


def proof_at(issuers: Sequence[str], proofs: Sequence[str]) -> DpopProof | HttpAnswer:
    """Return the proof of a token request at one of these issuers, or the response that refuses the proof."""
    for issuer in issuers:
        try:
            return read_proof(proofs, method="POST", url=f"{issuer}{_PATH}", now=time.time())
        except DpopError as error:
            refused = error
    body = {
        "error": refused.code,
        "error_description": str(refused),
        "reason": refused.code,
        "details": str(refused),
        "retryable": False,
        "request_id": "test-dpop",
    }
    return HttpAnswer(status=400, body=body)


def bound(granted: HttpAnswer) -> HttpAnswer:
    """Return the response of the OAuth token endpoint, made from the response of the delegation-token endpoint."""
    token, life, scope = (granted.body[name] for name in ("token", "expires_in", "scope"))
    body = {"access_token": token, "token_type": "DPoP", "expires_in": life, "scope": scope}
    return HttpAnswer(body=body)
