"""A key pair as a proof: the client signs an assertion about itself (`private_key_jwt`, RFC 7523 section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

from authsec.jose import JoseError, PublicKey, UnverifiedJws

from authsec_server.attestation.model import (
    DER_SIGNED,
    NOT_SIGNED,
    SIGNATURE_OCTETS,
    WRONG_LENGTH,
    Proved,
    Refused,
    SingleUse,
    invalid_own,
)
from authsec_server.clients.model import SIGNED, Client, Proof

MAX_LIFETIME = 300  # seconds; a used `jti` is remembered that long, so it must be short
MAX_CLAIMED_LIFETIME = 3600  # seconds: some OAuth libraries always write so much into `exp`
LEEWAY = 30  # seconds of clock difference either way
MAX_JTI = 256
_TYPES = {None, "jwt", "client-authentication+jwt"}


def verify(
    assertion: UnverifiedJws, client: Client, *, issuer: str, now: datetime, client_name: str = ""
) -> Proved | Refused:
    """Check that a key of this client signed the assertion, for this authority alone and a short time ago.

    The signature is checked first. If the signature is invalid, the refusal says nothing about the claims.

    With `client_name`, the assertion comes from the OAuth token endpoint. `iss` and `sub` are then this name, and `aud`
    is one string, never a list (draft-ietf-oauth-rfc7523bis section 4). The attack: another authority makes a client
    sign an assertion for several audiences, and uses the assertion here. `exp` may be later if `iat` says when the
    assertion was made: it is valid for `MAX_LIFETIME` from then.
    """
    proof = _signer_of(assertion, client, now, may_have_own_kid=bool(client_name))
    if proof is None:
        return invalid_own(malformed_signature(assertion) or NOT_SIGNED)
    claims = assertion.claims
    audiences = (issuer,) if client_name else (issuer, [issuer])
    complaint = _complaint(assertion, client_name or client.id, audiences)
    complaint = complaint or _untimely(claims, now.timestamp(), may_be_long=bool(client_name))
    if complaint:
        return invalid_own(complaint, is_authentic=True)
    return Proved(
        proof_id=proof.id,
        kind=proof.kind,
        single_use=SingleUse(
            jti_sha256=sha256(claims["jti"].encode()).hexdigest(),
            # Until `exp` always: the delegation-token endpoint accepts the assertion then, whatever its `iat` is.
            until=datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=2 * LEEWAY),
        ),
    )


def malformed_signature(assertion: UnverifiedJws) -> str:
    """Return the sentence about an ECDSA signature in the DER form or of a wrong length, or an empty text.

    The result depends on the assertion alone, so an unauthenticated caller may see it.
    """
    algorithm, signature = assertion.header["alg"], assertion.signature
    octets = SIGNATURE_OCTETS.get(algorithm)
    if octets in {None, len(signature)}:  # of the right length, R may begin like a DER signature
        return ""
    # The tag of a SEQUENCE, then the length: one octet, or 0x81 and one octet.
    if len(signature) > 2 and signature[0] == 0x30 and signature[1] in {0x81, len(signature) - 2}:
        return DER_SIGNED[algorithm]
    return f"{WRONG_LENGTH[algorithm]}{len(signature)}."


def _signer_of(assertion: UnverifiedJws, client: Client, now: datetime, *, may_have_own_kid: bool) -> Proof | None:
    """Return the proof of the client that verifies the assertion's signature, or None.

    `kid` is unverified, and only limits the search to the key with this thumbprint. `may_have_own_kid` says that `kid`
    may be another name of a key: OAuth libraries let the builder of the client choose the name.
    """
    held = [proof for proof in client.proofs if proof.kind in SIGNED and proof.is_valid(now)]
    named = assertion.header.get("kid")
    if named is not None and not (may_have_own_kid and all(proof.thumbprint != named for proof in held)):
        held = [proof for proof in held if proof.thumbprint == named]
    for proof in held:
        if proof.public_key is None:
            continue
        key = _key(tuple(proof.public_key.items()))
        try:
            assertion.check_signature(key, algorithms=key.algorithms)
        except JoseError:
            continue  # not by this key; another of the client's may have made it
        return proof
    return None


@lru_cache(maxsize=10_000)
def _key(jwk: tuple[tuple[str, Any], ...]) -> PublicKey:
    return PublicKey.from_jwk(dict(jwk))  # parsing costs more than verifying: once a key


def _complaint(assertion: UnverifiedJws, client_id: str, audiences: Sequence[Any]) -> str:
    """Return the problem with the claims; empty if there is none. `audiences` are the accepted values of `aud`.

    The rules are in RFC 7523 section 3, and in RFC 8725 section 3 for `aud` and `typ`.
    """
    claims, typ = assertion.claims, assertion.header.get("typ")
    if (typ.lower() if isinstance(typ, str) else typ) not in _TYPES:
        return "The header `typ` must be client-authentication+jwt or JWT."
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        return "`iss` and `sub` must both be the client_id."
    if claims.get("aud") not in audiences:
        alone = "" if len(audiences) > 1 else ", as one string"
        return f"`aud` must be exactly {audiences[0]}{alone}"
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI:
        return "`jti` must be a unique string."
    return ""


def _untimely(claims: Mapping[str, Any], now: float, *, may_be_long: bool) -> str:
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if "exp" not in times or not all(type(value) is int for value in times.values()):
        return "`exp` is required; `exp`, `iat` and `nbf` must be whole seconds."
    may_be_long = may_be_long and "iat" in times
    end = min(times["exp"], times["iat"] + MAX_LIFETIME) if may_be_long else times["exp"]
    if end <= now - LEEWAY:
        return "The assertion has expired; make a new one for each request. Check the machine's clock."
    longest = MAX_CLAIMED_LIFETIME if may_be_long else MAX_LIFETIME
    if times["exp"] > now + longest + LEEWAY:
        return f"`exp` must be at most {longest} seconds from now. Check the machine's clock."
    if max(times.get("iat", 0), times.get("nbf", 0)) > now + LEEWAY:
        return "The assertion was issued in the future. Check the machine's clock."
    return ""
