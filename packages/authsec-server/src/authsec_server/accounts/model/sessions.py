"""Administrators' sessions: opaque to the browser, ended by time or by a person. No I/O."""

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

    `last_seen_at` is up to a minute behind. `address` and `user_agent` are those of the sign-in.
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
        """Return when the session expires if it is not used before."""
        return min(self.last_seen_at + terms.idle, self.created_at + terms.lifetime)

    def stands(self, now: datetime, terms: SessionTerms) -> bool:
        """Return whether the session is valid: neither ended nor expired."""
        return self.ended_at is None and now < self.expires_at(terms)


def shown_user_agent(sent: str) -> str:
    """Shorten the User-Agent header and keep only printable ASCII: lists show the value."""
    return "".join(char for char in sent if " " <= char <= "~")[:MAX_USER_AGENT]
