"""A token of an OpenID Connect issuer for workloads: GitHub Actions, GitLab CI, Google, Azure and others. Pure.

The trusted issuer has a map from selectors to claims. A claim that is not in the map proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authsec import strict_json

from authsec_server.attestation.model import Selectors
from authsec_server.attestation.workload_tokens import Kind
from authsec_server.issuers.model import TrustedIssuer


def read(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:
    """Return the selectors of the mapped claims. A claim that is missing, empty or a list makes no selector."""
    texts = ((key, _text(claims.get(name))) for key, name in trusted_issuer.claims.items())
    proved = {key: text for key, text in texts if text}
    return Selectors(proved) if proved else "The token has none of the claims that this trusted issuer maps."


def audience_help(audience: str) -> str:
    """Describe how a workload gets a token for this authority."""
    return f"Configure the issuer to set the audience {audience}."


KIND = Kind(read=read, audience_help=audience_help)


def _text(value: object) -> str:
    """Return the value as text in the form of the issuer's documentation, such as `true` or `42`.

    Return an empty text for a list, because it is unclear which member to use.
    """
    if isinstance(value, str):
        return value
    return strict_json.dumps(value).decode() if isinstance(value, bool | int | float) else ""
