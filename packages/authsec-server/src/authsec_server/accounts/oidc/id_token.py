"""The checks of an ID token (OpenID Connect Core section 3.1.3.7), in the order in which they are made."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from hmac import compare_digest
from typing import Any

from authsec.jose import JoseError, PublicKey, UnverifiedJws, parse_compact

from authsec_server.accounts.oidc.identity import OpenIdRefusal, SignInRefused

# A fixed list: the token must not choose (RFC 8725 section 3.1). The attack: an attacker signs a token with `none`, or
# with HS256 and the public key as the secret.
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
LEEWAY = 60  # seconds; the clocks of provider and server may differ this much
MAX_BYTES = 65_536  # large, because some providers list every group of a person
MAX_SUBJECT = 255  # OpenID Connect Core section 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The values that an ID token must match in this sign-in. Times are in seconds since the epoch."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)
    access_token: str = field(repr=False)
    begun: int
    now: float


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of an ID token. If `holds` returns False, the token is refused with `failure`.

    `failure` never quotes the token.
    """

    source: str
    failure: str
    holds: Callable[[Mapping[str, Any], Expected], bool]


def verified_claims(token: str, find_key: Callable[[str], PublicKey | None], expected: Expected) -> Mapping[str, Any]:
    """Verify the signature, make every check, and return the claims. Raises `SignInRefused`."""
    try:
        jws = parse_compact(token, max_bytes=MAX_BYTES)
        verified = jws.verified_by(_key(jws, find_key), algorithms=ALGORITHMS)
    except JoseError as error:
        raise _invalid(str(error)) from None
    claims = verified.claims
    for check in _CHECKS:
        if not check.holds(claims, expected):
            raise _invalid(f"{check.failure} ({check.source})")
    if "at_hash" in claims and claims["at_hash"] != _half_hash(expected.access_token, jws.header["alg"]):
        raise _invalid("its at_hash does not match the access token (OpenID Connect Core 3.1.3.8)")
    return claims


def _key(jws: UnverifiedJws, find_key: Callable[[str], PublicKey | None]) -> PublicKey:
    if jws.header["alg"] not in ALGORITHMS:  # first, because the key look-up may send a request
        raise _invalid("its signature algorithm is not RS256, PS256, ES256 or EdDSA")
    if jws.header.get("typ", "JWT").lower() != "jwt":  # RFC 8725 section 3.11: refuses access tokens and logout tokens
        raise _invalid("its typ names another kind of token")
    kid = jws.header.get("kid")
    if not kid:
        raise _invalid("it has no kid, the id of the signing key")
    key = find_key(kid)
    if key is None:
        raise _invalid("the provider does not publish the key that signed it")
    return key


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float)  # `isinstance` would also accept bool


def _audiences(claims: Mapping[str, Any]) -> list[object]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _is_subject(subject: object) -> bool:
    return isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT and subject.isascii() and subject.isprintable()


_CORE = "OpenID Connect Core 3.1.3.7"
_CHECKS = (
    _Check(f"{_CORE} (2)", "its iss does not name the provider", lambda claims, its: claims.get("iss") == its.issuer),
    _Check(
        f"{_CORE} (3)", "its aud does not name this client", lambda claims, its: its.client_id in _audiences(claims)
    ),
    _Check(
        f"{_CORE} (4)",  # a token with several audiences must name its client
        "it has several audiences and no azp",
        lambda claims, _: len(_audiences(claims)) == 1 or "azp" in claims,
    ),
    _Check(
        f"{_CORE} (5)",
        "its azp names another client",
        lambda claims, its: claims.get("azp", its.client_id) == its.client_id,
    ),
    _Check(
        f"{_CORE} (9)",
        "it has expired, or has no exp",
        lambda claims, its: _is_seconds(claims.get("exp")) and its.now < claims["exp"] + LEEWAY,
    ),
    _Check(
        f"{_CORE} (10)",  # stops a token that was issued before this sign-in began
        "it has no iat, or its iat is before this sign-in or in the future; check the clocks",
        lambda claims, its: _is_seconds(claims.get("iat")) and its.begun - LEEWAY <= claims["iat"] <= its.now + LEEWAY,
    ),
    _Check(
        "RFC 7519 4.1.5",
        "it is not valid yet",
        lambda claims, its: _is_seconds(claims.get("nbf", 0)) and claims.get("nbf", 0) <= its.now + LEEWAY,
    ),
    _Check(
        f"{_CORE} (11)",  # stops an ID token or a code from another sign-in
        "its nonce does not belong to this sign-in",
        lambda claims, its: compare_digest(str(claims.get("nonce")).encode(), its.nonce.encode()),
    ),
    _Check(
        "OpenID Connect Core 2",
        "its sub is not 1 to 255 ASCII characters",
        lambda claims, _: _is_subject(claims.get("sub")),
    ),
)


def _half_hash(access_token: str, algorithm: str) -> str:
    digest = (sha512 if algorithm == "EdDSA" else sha256)(access_token.encode()).digest()  # Ed25519 hashes with SHA-512
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _invalid(what: str) -> SignInRefused:
    return SignInRefused(OpenIdRefusal.TOKEN_INVALID, f"the ID token was refused: {what}")
