"""Sessions of administrators: opaque to the browser, ended by time or by somebody. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SEEN_EVERY = timedelta(minutes=1)
MAX_USER_AGENT = 200


class SignInMethod(StrEnum):
    """How somebody came in."""

    PASSWORD = "password"  # noqa: S105 - a method's name
    OIDC = "oidc"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """A session ends when it has not been used for `idle`, and in any case after `lifetime`."""

    idle: timedelta
    lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session by its public id. The cookie's value opens it and is kept as a hash only.

    `last_seen_at` is up to a minute behind; `address` and `user_agent` are those of the sign-in.
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
        """When it ends by itself unless it is used before."""
        return min(self.last_seen_at + terms.idle, self.created_at + terms.lifetime)

    def stands(self, now: datetime, terms: SessionTerms) -> bool:
        """Whether it still lets its holder in."""
        return self.ended_at is None and now < self.expires_at(terms)


def shown_user_agent(sent: str) -> str:
    """The header User-Agent, cut and without anything but printable ASCII: it is shown in lists."""
    return "".join(char for char in sent if " " <= char <= "~")[:MAX_USER_AGENT]
