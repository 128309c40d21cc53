"""The algorithms and states of signing keys, and the rules of rotation. Pure.

Each algorithm has keys of its own, and its keys are rotated and revoked without those of the others.

- prepared: published, so that every verifier has the key before the key signs.
- active: signs tokens. Exactly one key of an algorithm is active.
- retired: signs no new tokens, and stays published until the last token that it signed has expired.
- gone: the private part is deleted.
- revoked: another person may have the private key. The key and its tokens are invalid at once. A key can be
  revoked in every state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from authsec_server.failures import Invalid
from authsec_server.naming import quoted

JWKS_MAX_AGE = timedelta(seconds=240)  # how long a verifier may keep the published set without asking again
# A prepared key signs no earlier than this. The minute on top is for what lies between `created_at` and the first
# answer that shows the key: the wait for the lock, and clocks of several servers that disagree.
PUBLISH_AHEAD = JWKS_MAX_AGE + timedelta(seconds=60)
# Published beyond the longest life of a token: verifiers allow for clocks that are behind.
PUBLISH_AFTER = timedelta(hours=1)


class Algorithm(StrEnum):
    """The JWS algorithms that sign tokens (RFC 7518 section 3, RFC 8037). `EdDSA` means Ed25519 and no other curve."""

    RS256 = "RS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


_OF_KIND = {"RSA": Algorithm.RS256, "EC": Algorithm.ES256, "OKP": Algorithm.EDDSA}


def algorithm_of(kind: str) -> Algorithm:
    """Return the algorithm of a signing key by its JWK key type. All EC keys are on P-256, all OKP keys on Ed25519."""
    return _OF_KIND[kind]


def parse_algorithm(field: str, given: str) -> Algorithm:
    """Return the signing algorithm with this name. Raises `Invalid` for `field`."""
    try:
        return Algorithm(given)
    except ValueError:
        allowed = f"Choose one of {', '.join(Algorithm)}. EdDSA means Ed25519."
        raise Invalid(field, f"{quoted(given)} is not a signing algorithm of AuthSec.", allowed) from None


class KeyState(StrEnum):
    """The state of a signing key. A key never returns to an earlier state."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    GONE = "gone"
    REVOKED = "revoked"


PUBLISHED = frozenset({KeyState.PREPARED, KeyState.ACTIVE, KeyState.RETIRED})
FINAL_STATES = frozenset({KeyState.GONE, KeyState.REVOKED})
"""The states in which the private key is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A signing key without its private part. `kid` is the RFC 7638 thumbprint of `public_jwk`."""

    kid: str
    state: KeyState
    public_jwk: Mapping[str, Any] = field(hash=False)
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    publish_until: datetime | None = None

    @property
    def algorithm(self) -> Algorithm:
        """Return the one algorithm for which the key is made, prepared, published and used."""
        return algorithm_of(self.public_jwk["kty"])

    def activated(self, now: datetime) -> SigningKey:
        """Return the key in the state `ACTIVE`, in which it signs."""
        return replace(self, state=KeyState.ACTIVE, activated_at=now)

    def retired(self, now: datetime, max_token_lifetime: timedelta) -> SigningKey:
        """Return the key in the state `RETIRED`.

        The last token of the key is valid for at most `max_token_lifetime`. The key stays published until that
        token has expired.
        """
        publish_until = now + max_token_lifetime + PUBLISH_AFTER
        return replace(self, state=KeyState.RETIRED, retired_at=now, publish_until=publish_until)

    def gone(self) -> SigningKey:
        """Return the key in the state `GONE`, after its last token has expired."""
        return replace(self, state=KeyState.GONE)

    def revoked(self, now: datetime) -> SigningKey:
        """Return the key in the state `REVOKED`, in which no verifier may accept it."""
        return replace(self, state=KeyState.REVOKED, retired_at=self.retired_at or now, publish_until=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A new key with an encrypted private part. The key has no state yet."""

    kid: str
    public_jwk: Mapping[str, Any] = field(hash=False)
    sealed: bytes = field(repr=False)

    def prepared(self, now: datetime) -> SigningKey:
        """Return the key in the state `PREPARED`, in which it is published."""
        return SigningKey(kid=self.kid, state=KeyState.PREPARED, public_jwk=self.public_jwk, created_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A key with an encrypted private part. It signs heads of the revocation feed or checkpoints of the audit log."""

    kid: str
    sealed: bytes = field(repr=False)
    created_at: datetime


def key_in(keys: Iterable[SigningKey], state: KeyState, algorithm: Algorithm = Algorithm.RS256) -> SigningKey | None:
    """Return the key of the algorithm in this state, or None.

    At most one key of an algorithm is `ACTIVE`, and at most one is `PREPARED`.
    """
    return next((key for key in keys if key.state is state and key.algorithm is algorithm), None)


def activation_wait(prepared: SigningKey, now: datetime) -> timedelta:
    """Return the time until every verifier has fetched the prepared key; zero when the key may sign."""
    return max(prepared.created_at + PUBLISH_AHEAD - now, timedelta(0))


def may_activate(prepared: SigningKey, now: datetime, *, force: bool = False) -> bool:
    """Whether the prepared key may sign. With `force`, the result is always true.

    With `force`, verifiers that have not fetched the key refuse its tokens for a while.
    """
    return force or not activation_wait(prepared, now)


def rotation_due(active: SigningKey, now: datetime, max_age: timedelta) -> bool:
    """Whether the active key is to be replaced, because it has signed for `max_age` or longer."""
    return active.activated_at is None or now - active.activated_at >= max_age


def may_be_forgotten(key: SigningKey, now: datetime) -> bool:
    """Whether the private part of a retired key may be deleted, because every token that it signed has expired."""
    return key.state is KeyState.RETIRED and key.publish_until is not None and now >= key.publish_until


def keys_to_make(
    keys: Iterable[SigningKey], now: datetime, max_age: timedelta, algorithm: Algorithm = Algorithm.RS256
) -> int:
    """Return how many new keys the algorithm needs: an active key that is not too old, and a prepared key."""
    keys = list(keys)
    active, prepared = key_in(keys, KeyState.ACTIVE, algorithm), key_in(keys, KeyState.PREPARED, algorithm)
    missing = (active is None) + (prepared is None)
    if active is None or prepared is None:
        return missing
    return int(rotation_due(active, now, max_age) and may_activate(prepared, now))
