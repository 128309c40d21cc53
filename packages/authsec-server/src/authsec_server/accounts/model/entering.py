"""Somebody at the door: who knocks before they are known, how they are turned away, what they get. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.sessions import Session
from authsec_server.principal import Act, Principal, random_id


class SignInRefusal(StrEnum):
    """Why a person was not let in, as the journal says it; what they are told says less.

    At most 21 characters: each is part of a counted row's key.
    """

    UNKNOWN = "email_unknown"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason's name
    NO_PASSWORD = "no_password"  # noqa: S105 - a reason's name
    DISABLED = "disabled"
    CHANGED_MEANWHILE = "changed_meanwhile"
    LINK_UNKNOWN = "link_unknown"
    LINK_ENDED = "link_ended"
    RATE_LIMITED = "rate_limited"
    IDENTITY_EMAIL_TAKEN = "identity_email_taken"  # a provider vouches for somebody with another's e-mail address


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserCaller:
    """Who knocks. `cookie` is the value of a session that the browser has already, which the new one replaces."""

    request_id: str
    address: str
    user_agent: str = ""
    cookie: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A caller at a point in time, with randomness for what they may be given: an `Act` before anybody is known."""

    caller: BrowserCaller
    now: datetime
    token_bytes: Callable[[int], bytes]

    def new_id(self) -> str:
        """An id for something new."""
        return random_id(self.token_bytes)

    def by(self, principal: Principal) -> Act:
        """The act, once it is known whose it is."""
        return Act(
            principal=principal,
            now=self.now,
            request_id=self.caller.request_id,
            address=self.caller.address,
            token_bytes=self.token_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a sign-in gives. `cookie` is the value that opens the session; the browser alone keeps it."""

    session: Session
    administrator: Administrator
    cookie: str = field(repr=False)
