"""The header and claims of a delegation token (RFC 7519, RFC 9068).

Previews and real tokens use the same functions. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authsec_server.clients.model import spiffe_id
from authsec_server.keys.model import Algorithm
from authsec_server.tokens.decision import Granted

TYPE = "at+jwt"


def header(kid: str, algorithm: Algorithm) -> Mapping[str, Any]:
    """Return the JOSE header (RFC 9068 section 2.1)."""
    return {"alg": algorithm.value, "kid": kid, "typ": TYPE}


def claims(granted: Granted, *, issuer: str, trust_domain: str, jti: str, now: datetime) -> dict[str, Any]:
    """Return the claims. They contain no personal data of any administrator.

    About the proof, they contain its kind and the names of the proved selectors. The values of the selectors
    are left out.
    """
    issued = int(now.timestamp())
    return {
        "iss": issuer,
        "sub": spiffe_id(trust_domain, granted.client.id),
        "aud": list(granted.audience),
        "exp": issued + granted.lifetime,
        "iat": issued,
        "nbf": issued,
        "jti": jti,
        "client_id": granted.client.id,
        "scope": " ".join(granted.actions),
        "permissions": list(granted.actions),
        "roles": sorted({source.role.slug for source in granted.sources}),
        "delegation_ids": [source.delegation.id for source in granted.sources],
        "authority_version": granted.version,
        "agent_type": granted.sources[0].delegation.target_type.value,
        "attestation": _attestation(granted),
    } | ({"cnf": {"jkt": granted.thumbprint}} if granted.thumbprint else {})  # RFC 9449 section 6


def _attestation(granted: Granted) -> dict[str, Any]:
    """Return how the client authenticated, with the ids of the proof and its trusted issuer.

    Verifiers need the ids: when the proof or the trusted issuer ends, the token ends, too.
    """
    proved = granted.proved
    its: dict[str, Any] = {"method": proved.method, "proof": proved.proof_id}
    if proved.attested:
        its["selectors"] = list(proved.selectors)
    if proved.trusted_issuer_id:
        its["source"] = (
            proved.trusted_issuer_id
        )  # the claim's name is frozen: verifiers match it with the revocation feed
    if proved.validation:
        its["validation"] = proved.validation.value
    return its | {"enrolled": True} if proved.enrolled else its
