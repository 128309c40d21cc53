"""Admin keys: what they are, and when one no longer lets anybody in. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.accounts.model import secret
from authsec_server.failures import Invalid
from authsec_server.principal import Principal, PrincipalKind, Role

MIN_LIFE = timedelta(minutes=1)
MAX_LIFE = timedelta(days=3650)
# The prefix lets secret scanners find a key that was committed by mistake, and people see what they hold.
_TEXT = re.compile(r"authsec_[A-Za-z0-9_-]{43}")


class KeyRefusal(StrEnum):
    """Why nobody was let in, as the journal says it."""

    MISSING = "admin_key_missing"
    MALFORMED = "not_an_admin_key"
    UNKNOWN = "admin_key_unknown"
    EXPIRED = "admin_key_expired"
    REVOKED = "admin_key_revoked"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminKey:
    """An admin key without its secret, which is shown once and kept nowhere; the store has its hash."""

    id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def refusal(self, now: datetime) -> KeyRefusal | None:
        """Why the key lets nobody in at present; None when it does."""
        if self.revoked_at is not None:
            return KeyRefusal.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return KeyRefusal.EXPIRED
        return None

    def revoked(self, now: datetime) -> AdminKey:
        """The key once it is revoked."""
        return replace(self, revoked_at=now)

    def principal(self) -> Principal:
        """Who acts with it."""
        return Principal(kind=PrincipalKind.ADMIN_KEY, id=self.id, name=self.name, role=self.role)


def text_of(secret_bytes: bytes) -> str:
    """The key as people paste it: `authsec_` and 43 characters of base64url."""
    return "authsec_" + secret.text_of(secret_bytes)


def is_admin_key(text: str) -> bool:
    """Whether it has the form of an admin key. No JWT has: an agent's token is not even looked up."""
    return _TEXT.fullmatch(text) is not None


def expiry(life: timedelta | None, now: datetime) -> datetime | None:
    """When a key made now expires; None is never. Raises `Invalid`."""
    if life is None:
        return None
    if not MIN_LIFE <= life <= MAX_LIFE:
        raise Invalid("expires_in", "expires_in must be 1 minute to 10 years.", "In seconds; 90 days are 7776000.")
    return now + life
