"""Checks for the tokens of all trusted issuers: form, signature, issuer, audience and times. Pure.

`kinds` reads the claims about the workload. Only a key of the trusted issuer verifies a token. The token itself never
chooses the key (RFC 8725 sections 3.1 and 3.10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from authsec.jose import JoseError, PublicKey, UnverifiedJws

from authsec_server.attestation.model import TokenBinding
from authsec_server.clients.model import Selector
from authsec_server.issuers.model import ALGORITHMS, TrustedIssuer, TrustedIssuerKind

# A thumbprint names a certificate and brings none along; everything else is refused (JWT-SVID section 2).
HEADERS: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
TYPES: Final = frozenset({"", "jwt", "jose"})  # not at+jwt: a token that we issued does not get its holder another
MAX_KID: Final = 512
LEEWAY: Final = 30  # seconds of clock difference either way
DAY: Final = 86_400


FindKey = Callable[[TrustedIssuer, str], PublicKey | None]
"""Finds a key of the trusted issuer by its `kid`. Raises `KeysUnavailable` if the trusted issuer's keys are
not available now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How to read the tokens of one kind of trusted issuer.

    - `read` returns the selectors that the claims prove, or a problem.
    - `audience_help` describes how a workload gets a token for the audience.
    - `names_issuer` says that the `iss` of a token must be the issuer.
    - `longest` is the longest lifetime of a token in seconds. If it is set, a token must have the claim `iat`.
    - `bound` takes claims that `read` accepted, and returns the account and pod for questions to the cluster.
    """

    read: Callable[[Mapping[str, Any], TrustedIssuer], Set[Selector] | str]
    audience_help: Callable[[str], str]
    names_issuer: bool = True
    longest: int | None = DAY
    bound: Callable[[Mapping[str, Any]], TokenBinding] | None = None


def malformed(token: UnverifiedJws) -> str:
    """Return the problem with the header; empty if there is none.

    This check comes before the look-up of a trusted issuer, so the refusal reveals nothing about the client.
    """
    header = token.header
    if header["alg"] not in ALGORITHMS:
        return f"The token's signature algorithm must be one of {', '.join(sorted(ALGORITHMS))}."
    if not header.keys() <= HEADERS:
        return f"The token's header may only have {', '.join(sorted(HEADERS))}."
    if header.get("typ", "").lower() not in TYPES:
        return "The token's `typ` names another kind of token. Send a JWT about the workload."
    if not 1 <= len(header.get("kid", "")) <= MAX_KID:
        return "The token's header has no `kid`, the id of the signing key."
    return ""


def is_issuer_of(trusted_issuer: TrustedIssuer, claims: Mapping[str, Any]) -> bool:
    """Return whether the unverified claims name this trusted issuer."""
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE:
        subject = claims.get("sub")
        return isinstance(subject, str) and subject.startswith(f"spiffe://{trusted_issuer.issuer}/")
    return claims.get("iss") == trusted_issuer.issuer


def signed_by(token: UnverifiedJws, key: PublicKey) -> bool:
    """Return whether this key made the signature, with an algorithm that is allowed for the key."""
    try:
        token.check_signature(key, algorithms=ALGORITHMS)
    except JoseError:
        return False  # why it does not verify would help only somebody who is trying keys
    return True


def complaint(
    claims: Mapping[str, Any], trusted_issuer: TrustedIssuer, kind: Kind, *, audience: str, now: float
) -> str:
    """Return the problem with the claims of a correctly signed token; empty if there is none (RFC 7519 section 4.1)."""
    for check in _CHECKS:
        if problem := check(claims, trusted_issuer, kind, audience, now):
            return problem
    return ""


def _of_another_issuer(
    claims: Mapping[str, Any], trusted_issuer: TrustedIssuer, kind: Kind, _audience: str, _now: float
) -> str:
    if kind.names_issuer and claims.get("iss") != trusted_issuer.issuer:
        return "The token's `iss` is not the issuer of the trusted issuer."
    return ""


def _for_another_audience(
    claims: Mapping[str, Any], _trusted_issuer: TrustedIssuer, kind: Kind, audience: str, _now: float
) -> str:
    if claims.get("aud") not in (audience, [audience]):  # alone: whoever shares it could replay it here
        return f"The token's `aud` must be exactly {audience}, and nothing else. {kind.audience_help(audience)}"
    return ""


def _untimely(claims: Mapping[str, Any], _trusted_issuer: TrustedIssuer, kind: Kind, _audience: str, now: float) -> str:
    longest = kind.longest
    exp, iat, nbf = claims.get("exp"), claims.get("iat", 0), claims.get("nbf", 0)
    if not (type(exp) is int and type(iat) is int and type(nbf) is int):
        return "`exp` is required; `exp`, `iat` and `nbf` must be whole seconds."
    if exp <= now - LEEWAY:
        return "The token has expired; read the token again for each request. Check the machine's clock."
    if iat > now + LEEWAY or nbf > now + LEEWAY:
        return "The token was issued in the future. Check the machine's clock."
    if longest is not None and "iat" not in claims:
        return "The token has no `iat`, the time of its issue."
    if longest is not None and exp - iat > longest:
        return f"The token is valid for longer than {longest // 3600} hours; request one hour."
    return ""


def _bound_to_a_key(
    claims: Mapping[str, Any], _trusted_issuer: TrustedIssuer, _kind: Kind, _audience: str, _now: float
) -> str:
    if "cnf" in claims:  # RFC 7800 section 3.1: what only a key's holder may show must not pass for what anybody may
        return (
            "The token is bound to a key (`cnf`), and AuthSec does not check such bindings. Request a token "
            "without `cnf`."
        )
    return ""


CLAIM_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], TrustedIssuer, Kind, str, float], str]]] = {
    "issuer": _of_another_issuer,
    "audience": _for_another_audience,
    "times": _untimely,
    "binding": _bound_to_a_key,
}
"""The checks of `complaint`, in their order. The test of a token shows each check as a step with this name."""
_CHECKS: Final = tuple(CLAIM_CHECKS.values())
