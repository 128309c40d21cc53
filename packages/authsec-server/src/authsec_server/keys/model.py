"""A signing key's life, and the rules of rotation. Pure.

prepared: published, so that every verifier has it before it is needed. active: signs; there is exactly one.
retired: signs nothing new, published until the last token it signed is dead. gone: its private part is deleted.
revoked: somebody else may have it, so it ends at once, with every token that it signed, from whichever state it was in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

JWKS_MAX_AGE = timedelta(seconds=240)  # how long a verifier may keep the published set without asking again
# A prepared key signs no earlier than this. The minute on top is for what lies between `created_at` and the first
# answer that shows the key: the wait for the lock, and clocks of several servers that disagree.
PUBLISH_AHEAD = JWKS_MAX_AGE + timedelta(seconds=60)
# Published beyond the longest life of a token: verifiers allow for clocks that are behind.
PUBLISH_AFTER = timedelta(hours=1)


class KeyState(StrEnum):
    """Where in its life a key is; it only ever moves forward."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    GONE = "gone"
    REVOKED = "revoked"


PUBLISHED = frozenset({KeyState.PREPARED, KeyState.ACTIVE, KeyState.RETIRED})
OVER = frozenset({KeyState.GONE, KeyState.REVOKED})
"""In these it has no private part any more."""


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

    def activated(self, now: datetime) -> SigningKey:
        """The key once it signs."""
        return replace(self, state=KeyState.ACTIVE, activated_at=now)

    def retired(self, now: datetime, max_token_lifetime: timedelta) -> SigningKey:
        """The key once it has signed its last token, which lives no longer than `max_token_lifetime`."""
        publish_until = now + max_token_lifetime + PUBLISH_AFTER
        return replace(self, state=KeyState.RETIRED, retired_at=now, publish_until=publish_until)

    def gone(self) -> SigningKey:
        """The key once nobody needs it."""
        return replace(self, state=KeyState.GONE)

    def revoked(self, now: datetime) -> SigningKey:
        """The key once nobody shall believe it."""
        return replace(self, state=KeyState.REVOKED, retired_at=self.retired_at or now, publish_until=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made, its private part sealed; not yet in any state."""

    kid: str
    public_jwk: Mapping[str, Any] = field(hash=False)
    sealed: bytes = field(repr=False)

    def prepared(self, now: datetime) -> SigningKey:
        """The key once it is published."""
        return SigningKey(kid=self.kid, state=KeyState.PREPARED, public_jwk=self.public_jwk, created_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A key that signs heads, of the revocation feed or of the journal's log, its private part sealed."""

    kid: str
    sealed: bytes = field(repr=False)
    created_at: datetime


def key_in(keys: Iterable[SigningKey], state: KeyState) -> SigningKey | None:
    """The one key in this state, for `ACTIVE` and `PREPARED`."""
    return next((key for key in keys if key.state is state), None)


def activation_wait(prepared: SigningKey, now: datetime) -> timedelta:
    """How long until every verifier has seen the prepared key: zero when it may sign."""
    return max(prepared.created_at + PUBLISH_AHEAD - now, timedelta(0))


def may_activate(prepared: SigningKey, now: datetime, *, force: bool = False) -> bool:
    """Whether the prepared key may sign. By force it may; verifiers that have not seen it refuse its tokens a while."""
    return force or not activation_wait(prepared, now)


def rotation_due(active: SigningKey, now: datetime, max_age: timedelta) -> bool:
    """Whether the active key has signed for long enough."""
    return active.activated_at is None or now - active.activated_at >= max_age


def may_be_forgotten(key: SigningKey, now: datetime) -> bool:
    """Whether every token that the key signed is dead."""
    return key.state is KeyState.RETIRED and key.publish_until is not None and now >= key.publish_until


def keys_to_make(keys: Iterable[SigningKey], now: datetime, max_age: timedelta) -> int:
    """How many new keys it takes to bring these in order: an active and a prepared one, none too old."""
    keys = list(keys)
    active, prepared = key_in(keys, KeyState.ACTIVE), key_in(keys, KeyState.PREPARED)
    missing = (active is None) + (prepared is None)
    if active is None or prepared is None:
        return missing
    return int(rotation_due(active, now, max_age) and may_activate(prepared, now))
