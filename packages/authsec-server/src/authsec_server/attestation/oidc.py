"""A token of an OpenID Connect issuer for workloads: GitHub Actions, GitLab CI, Google, Azure and others. Pure.

Which claim is which selector, the trusted issuer says. What it does not name proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsec import strict_json

from authsec_server.attestation.model import Selectors
from authsec_server.attestation.workload_tokens import Kind
from authsec_server.issuers.model import TrustedIssuer


def read(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:
    """The selectors that the trusted issuer's claims are; a claim that is missing, empty or a list gives none."""
    texts = ((key, _text(claims.get(name))) for key, name in trusted_issuer.claims.items())
    proved = {key: text for key, text in texts if text}
    return Selectors(proved) if proved else "It has none of the claims that this trusted issuer reads."


def audience_help(audience: str) -> str:
    """How a workload gets a token for us."""
    return f"Have the issuer make it for the audience {audience}."


KIND = Kind(read=read, audience_help=audience_help)


def _text(value: object) -> str:
    """As the issuer's documentation writes it: `true`, `42`. Of a list it would be unclear which member counts."""
    if isinstance(value, str):
        return value
    return strict_json.dumps(value).decode() if isinstance(value, bool | int | float) else ""
