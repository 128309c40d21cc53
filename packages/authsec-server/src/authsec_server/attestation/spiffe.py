"""A JWT-SVID (SPIFFE, "JWT-SVID" sections 2 to 4) proves one thing: the workload's SPIFFE ID. Pure.

SPIRE has checked the selectors of the workload before it issued the ID. A JWT-SVID may be used more than
once, because SPIRE returns cached JWT-SVIDs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from authsec_server.attestation.model import Selectors
from authsec_server.attestation.workload_tokens import Kind
from authsec_server.issuers.model import TrustedIssuer

KEY = "spiffe:id"
MAX_ID = 2048  # SPIFFE-ID section 2.3
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+")  # section 2.2


def read(claims: Mapping[str, Any], trusted_issuer: TrustedIssuer) -> Selectors | str:
    """Return the SPIFFE ID if it belongs to the trust domain that signed the token; else the problem with the token."""
    subject, domain = claims.get("sub"), f"spiffe://{trusted_issuer.issuer}"
    if not isinstance(subject, str) or len(subject) > MAX_ID or not subject.startswith(f"{domain}/"):
        return "The token's `sub` is not a SPIFFE ID of the trust domain that signed the token."
    if not _PATH.fullmatch(subject.removeprefix(domain)):
        return "The token's `sub` is not a SPIFFE ID: the path is malformed."
    return Selectors({KEY: subject})


def audience_help(audience: str) -> str:
    """Describe how a workload gets a JWT-SVID for this authority."""
    return f"Request a JWT-SVID with the audience {audience} from the Workload API."


KIND = Kind(read=read, names_issuer=False, longest=None, audience_help=audience_help)
