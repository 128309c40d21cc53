"""Proof of possession: that whoever brings a public key holds its private half. Pure.

Else somebody with a code could register the key of another agent's machine, and what that machine signs would count
here. The JWT is signed over the hash of the code, so it proves once: the code is used up with it, and needs no `jti`.
Its `typ` keeps it apart from the assertions by which agents ask for tokens (RFC 8725 section 3.11).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from authsec.enrolment_code import POSSESSION_TYPE
from authsec.jose import JoseError, PublicKey, parse_compact

MAX_BYTES: Final = 4096
MAX_LIFETIME: Final = 300  # seconds
LEEWAY: Final = 30  # seconds of clock difference either way


def complaint(possession: str, key: PublicKey, *, client_id: str, code_sha256: str, issuer: str, now: datetime) -> str:
    """What is wrong with it, or nothing. The signature comes first: until it holds, nothing inside is worth a word."""
    try:
        token = parse_compact(possession, max_bytes=MAX_BYTES)
        token.verified_by(key, algorithms=key.algorithms)
    except JoseError:
        return "It is not signed with the private half of this public key."
    if token.header.get("typ") != POSSESSION_TYPE:
        return f"The header `typ` must be {POSSESSION_TYPE}."
    claims = token.claims
    if (claims.get("iss"), claims.get("aud"), claims.get("code_sha256")) != (client_id, issuer, code_sha256):
        return f"It is about another client or another code, or for another authority than {issuer}."
    return _untimely(claims, now.timestamp())


def _untimely(claims: Mapping[str, Any], now: float) -> str:
    issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if not (type(issued) is int and type(expires) is int and type(begins) is int):
        return "`iat` and `exp` are required, and they and `nbf` are whole seconds."
    if expires <= now - LEEWAY:
        return "It has expired. Is the machine's clock right?"
    if max(issued, begins) > now + LEEWAY or expires > now + MAX_LIFETIME + LEEWAY:
        return f"It is from the future, or lasts longer than {MAX_LIFETIME} seconds. Is the machine's clock right?"
    return ""
