"""Make the proof that a platform needs: selectors, a key, a secret or nothing. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from authsec import client_secret
from authsec.jose import JoseError, PublicKey

from authsec_server.clients.model import Platform, Proof, ProofKind
from authsec_server.clients.selectors import KEYS, parse_selectors
from authsec_server.failures import Invalid

_HOW = (
    "Create a key pair with `authsec keygen FILE`, and give the content of FILE.pub: the block that begins with "
    "BEGIN PUBLIC KEY."
)


def make_proof(
    *,
    id: str,  # noqa: A002 - the field's name
    client_id: str,
    platform: Platform,
    selectors: Sequence[tuple[str, str]],
    public_key: str | None,
    expires_at: datetime | None = None,
    now: datetime,
    token_bytes: Callable[[int], bytes],
) -> Proof:
    """Make the proof that the platform needs. Raises `Invalid` if an input is missing, wrong or not allowed.

    `public_key` is PEM (RFC 7468 section 13); only the platform `key` allows a public key. A secret is made
    from `token_bytes`, because an attacker can guess secrets that people invent.
    """
    if expires_at is not None and expires_at <= now:
        raise Invalid("expires_at", "The expiry of a new proof must be in the future.", "Give a later time.")
    held = parse_selectors(platform, selectors)
    if public_key is not None and platform is not Platform.KEY:
        raise Invalid(
            "public_key",
            f"The platform {platform.shown} has no public key.",
            "Leave out the public key, or use the platform key.",
        )
    if platform is Platform.KEY:
        key = parse_key(public_key)
        return Proof(
            id=id,
            client_id=client_id,
            kind=ProofKind.KEY_PAIR,
            public_key=key.to_jwk(),
            thumbprint=key.thumbprint(),
            expires_at=expires_at,
            created_at=now,
        )
    if platform is Platform.SECRET:
        return make_secret(id=id, client_id=client_id, expires_at=expires_at, now=now, token_bytes=token_bytes)
    kind = ProofKind.UNATTESTED if platform is Platform.UNATTESTED else ProofKind.SELECTORS
    return Proof(id=id, client_id=client_id, kind=kind, selectors=held, expires_at=expires_at, created_at=now)


def make_secret(
    *,
    id: str,  # noqa: A002 - the field's name
    client_id: str,
    expires_at: datetime | None,
    now: datetime,
    token_bytes: Callable[[int], bytes],
) -> Proof:
    """Make a secret with its text. Only a plain hash is stored.

    A plain hash is enough, because the secret has 256 random bits.
    """
    text = client_secret.text_of(token_bytes(client_secret.SECRET_BYTES))
    return Proof(
        id=id,
        client_id=client_id,
        kind=ProofKind.SECRET,
        secret=text,
        secret_sha256=sha256(text.encode()).hexdigest(),
        expires_at=expires_at,
        created_at=now,
    )


def platform_of(proof: Proof) -> Platform:
    """Return the platform that needs this proof. An enrolled key has the platform `key`, as other key pairs."""
    if proof.kind is ProofKind.UNATTESTED:
        return Platform.UNATTESTED
    if proof.kind is ProofKind.SECRET:
        return Platform.SECRET
    if proof.kind is not ProofKind.SELECTORS:
        return Platform.KEY
    (platform,) = {platform for platform, keys in KEYS.items() if any(key.fits(proof.selectors[0].key) for key in keys)}
    return platform


def same_evidence(one: Proof, other: Proof) -> bool:
    """Return whether both proofs need the same evidence from the same trusted issuer.

    The order of selectors is ignored.
    """
    return _asked(one) == _asked(other)


def _asked(proof: Proof) -> tuple[object, ...]:
    return proof.kind, proof.trusted_issuer_id, proof.thumbprint, proof.secret_sha256, frozenset(proof.selectors)


def parse_key(pem: str | None) -> PublicKey:
    """Parse the public key in PEM. Raises `Invalid`."""
    if pem is None:
        raise Invalid("public_key", "A key pair needs the agent's public key.", _HOW)
    try:
        return PublicKey.from_pem(pem)
    except JoseError as error:
        if error.reason == "private_key":
            raise Invalid(
                "public_key",
                "This is a PRIVATE key. AuthSec did not store the key. Treat the key as exposed.",
                f"Never use that key again. {_HOW}",
            ) from None
        raise Invalid("public_key", f"This public key cannot be used: {error}.", _HOW) from None
