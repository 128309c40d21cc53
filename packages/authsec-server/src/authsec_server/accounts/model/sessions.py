"""Sessions of administrators, and sign-ins that begin one. The browser has only a random value for its session. No I/O.

A session ends after a time limit, or when a person ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.accounts.model.administrators import Administrator
from authsec_server.principal import Act, Principal, random_id

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


class SignInRefusal(StrEnum):
    """The reason why a sign-in was refused, as the audit log records it. The person sees fewer details.

    Each value has at most 21 characters, because it is part of the key of the row that counts the refusals.
    """

    UNKNOWN = "email_unknown"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason's name
    NO_PASSWORD = "no_password"  # noqa: S105 - a reason's name
    DISABLED = "disabled"
    CHANGED_MEANWHILE = "changed_meanwhile"
    LINK_UNKNOWN = "link_unknown"
    LINK_ENDED = "link_ended"
    RATE_LIMITED = "rate_limited"
    WRONG_CODE = "wrong_code"
    CODE_USED = "code_used"
    CODE_UNREADABLE = "code_unreadable"  # the stored secret is damaged, or belongs to another account
    STEP_ENDED = "step_ended"  # no sign-in waits for the code
    IDENTITY_EMAIL_TAKEN = "identity_email_taken"  # another account has the e-mail address that the provider sent


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserCaller:
    """A browser that asks to sign in.

    `cookie` is the session cookie that the browser has before the sign-in. The new session replaces the session
    of this cookie.
    """

    request_id: str
    address: str
    user_agent: str = ""
    cookie: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A browser caller, a time and a source of random bytes: the parts of an `Act` before its principal is known."""

    caller: BrowserCaller
    now: datetime
    token_bytes: Callable[[int], bytes]

    def new_id(self) -> str:
        """Return a new random id."""
        return random_id(self.token_bytes)

    def by(self, principal: Principal) -> Act:
        """Return the `Act` of this principal with the caller, time and source of random bytes of the arrival."""
        return Act(
            principal=principal,
            now=self.now,
            request_id=self.caller.request_id,
            address=self.caller.address,
            token_bytes=self.token_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """The result of a sign-in. `cookie` is the value that opens the session; only the browser keeps it."""

    session: Session
    administrator: Administrator
    cookie: str = field(repr=False)
