"""Sessions of administrators. The browser has only a random value for its session. No I/O.

A session ends after a time limit, or when a person ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SEEN_EVERY = timedelta(minutes=1)
MAX_USER_AGENT = 200


class SignInMethod(StrEnum):
    """The method of a sign-in."""

    PASSWORD = "password"  # noqa: S105 - a method's name
    OIDC = "oidc"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """Time limits of sessions: a session ends after `idle` without use, and always after `lifetime`."""

    idle: timedelta
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session with its public id. The cookie value opens the session; only a hash of the value is stored.

    `last_seen_at` may be up to a minute older than the last use. `address` and `user_agent` come from the
    request that began the session.
    """

    id: str
    administrator_id: str
    method: SignInMethod
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str
    ended_at: datetime | None = None

    def expires_at(self, terms: SessionTerms) -> datetime:
        """Return when the session expires if no further request uses it."""
        return min(self.last_seen_at + terms.idle, self.created_at + terms.lifetime)

    def is_valid(self, now: datetime, terms: SessionTerms) -> bool:
        """Return whether the session is valid: neither ended nor expired."""
        return self.ended_at is None and now < self.expires_at(terms)


def shown_user_agent(sent: str) -> str:
    """Return the User-Agent header for display in lists: shortened, and only printable ASCII."""
    return "".join(char for char in sent if " " <= char <= "~")[:MAX_USER_AGENT]
