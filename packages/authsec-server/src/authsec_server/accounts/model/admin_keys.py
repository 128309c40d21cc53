"""Admin keys: fields, form, expiry and refusal. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from authsec_server import naming
from authsec_server.accounts.model import secret
from authsec_server.failures import Invalid
from authsec_server.principal import Principal, PrincipalKind, Role

MIN_LIFE = timedelta(minutes=1)
MAX_LIFE = timedelta(days=3650)
SOON = timedelta(days=7)
MIN_DIFFERENT = 18  # one random key in ten thousand million has fewer different characters
MAX_STEPS = 10  # pairs of neighbours in alphabetical order, such as ab
# With the prefix, secret scanners find a committed key, and people recognise an admin key.
PREFIX = "authsec_"
_TEXT = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


class KeyRefusal(StrEnum):
    """The reason why an admin key was refused, as the audit log records it."""

    MISSING = "admin_key_missing"
    MALFORMED = "not_an_admin_key"
    UNKNOWN = "admin_key_unknown"
    EXPIRED = "admin_key_expired"
    REVOKED = "admin_key_revoked"
    RATE_LIMITED = "rate_limited"


class AdminKeyState(StrEnum):
    """The state of an admin key in a list."""

    ACTIVE = "active"
    EXPIRES_SOON = "expires_soon"  # active, but expires within seven days
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminKey:
    """An admin key without its secret. The secret is shown once and never stored; the store has its hash."""

    id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def refusal(self, now: datetime) -> KeyRefusal | None:
        """Return why the key is refused at `now`; None if the key is valid."""
        if self.revoked_at is not None:
            return KeyRefusal.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return KeyRefusal.EXPIRED
        return None

    def state(self, now: datetime) -> AdminKeyState:
        """Return the state of the key in a list."""
        match self.refusal(now):
            case KeyRefusal.REVOKED:
                return AdminKeyState.REVOKED
            case KeyRefusal.EXPIRED:
                return AdminKeyState.EXPIRED
        ends_soon = self.expires_at is not None and self.expires_at - now <= SOON
        return AdminKeyState.EXPIRES_SOON if ends_soon else AdminKeyState.ACTIVE

    def revoked(self, now: datetime) -> AdminKey:
        """Return a copy of the key, revoked at `now`."""
        return replace(self, revoked_at=now)

    def principal(self) -> Principal:
        """Return the principal that acts with this key."""
        return Principal(kind=PrincipalKind.ADMIN_KEY, id=self.id, name=self.name, role=self.role)


def new_admin_key(token_bytes: Callable[[int], bytes]) -> str:
    """Return the text of a new key: `authsec_` and 43 characters of base64url."""
    return PREFIX + secret.text_of(token_bytes(secret.SECRET_BYTES))


def is_admin_key(text: str) -> bool:
    """Return whether the text has the form of an admin key.

    No JWT has this form, so an agent's token is refused without a look-up.
    """
    return _TEXT.fullmatch(text) is not None


def looks_random(text: str) -> bool:
    """Return whether the key has enough different characters and few steps in alphabetical order.

    Use this check for a key that AuthSec did not make. The check only refuses keys that are obviously no
    secret, such as a repeated word or the alphabet. It does not measure strength: the person who makes the key
    is responsible for that.
    """
    secret_part = text.removeprefix(PREFIX)
    steps = sum(abs(ord(second) - ord(first)) == 1 for first, second in pairwise(secret_part))
    return len(set(secret_part)) >= MIN_DIFFERENT and steps <= MAX_STEPS


def key_name(name: str) -> str:
    """Return the checked name of a new key. Raises `Invalid`.

    A name that has the form of an id could be confused with the id of another key. A name that has the form of
    a key may be a real key, and lists and logs show names.
    """
    checked = naming.name("name", name)
    if naming.is_uuid(checked) or is_admin_key(checked):
        raise Invalid(
            "name",
            "name must not look like an id or a key.",
            "Choose a name that says what the key is for, such as ci.",
        )
    return checked


def expiry(life: timedelta | None, now: datetime) -> datetime | None:
    """Return when a key made at `now` expires; None means never. Raises `Invalid`."""
    if life is None:
        return None
    if not MIN_LIFE <= life <= MAX_LIFE:
        raise Invalid(
            "expires_in",
            "expires_in must be 1 minute to 10 years.",
            "Give expires_in in seconds, e.g. 7776000 for 90 days.",
        )
    return now + life
