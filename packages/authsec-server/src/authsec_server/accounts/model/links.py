"""One-time links: a secret in a URL that can be used once, soon, for one thing. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.accounts.model.administrators import Administrator

FROM_THE_MACHINE = timedelta(minutes=15)
TO_SOMEBODY = timedelta(hours=24)


class LinkPurpose(StrEnum):
    """What a link is good for."""

    FIRST_ADMINISTRATOR = "first_administrator"  # makes the first one, while there is none
    SET_PASSWORD = "set_password"  # noqa: S105 - an invitation, or a reset
    SIGN_IN = "sign_in"  # lets one administrator in, once


class LinkStanding(StrEnum):
    """What has become of a link."""

    OPEN = "open"
    USED = "used"
    VOIDED = "voided"  # a newer link took its place, or what it was for is over
    EXPIRED = "expired"
    TOO_LATE = "too_late"  # it was for the first administrator, and there is one; or its administrator is disabled
    UNKNOWN = "unknown"


MESSAGES = {
    LinkStanding.USED: "This link has been used. A link can be used once.",
    LinkStanding.VOIDED: "This link is no longer good: a newer one took its place.",
    LinkStanding.EXPIRED: "This link has expired.",
    LinkStanding.TOO_LATE: "What this link was for is no longer possible.",
    LinkStanding.UNKNOWN: "This is no link of this authority, or it is incomplete, or it ended some time ago.",
}
REMEDY = "Ask whoever sent it for a new one; on the server's machine, `authsec admin setup-url` makes one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link without its secret. `administrator_id` is empty where it is for somebody who does not exist yet."""

    id: str
    purpose: LinkPurpose
    administrator_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    voided_at: datetime | None = None

    def standing(self, now: datetime) -> LinkStanding:
        """What has become of it, as far as the link alone can tell."""
        if self.used_at is not None:
            return LinkStanding.USED
        if self.voided_at is not None:
            return LinkStanding.VOIDED
        return LinkStanding.EXPIRED if now >= self.expires_at else LinkStanding.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A link just made, with its code, which is shown this once."""

    link: Link
    code: str = field(repr=False)

    @property
    def path(self) -> str:
        """Where the console takes it, below the issuer."""
        return f"/console/set-up?code={self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """What somebody who holds the code may know of the link. `administrator` is whom it is for."""

    standing: LinkStanding
    link: Link | None = None
    administrator: Administrator | None = None

    @property
    def open(self) -> bool:
        """Whether it can be used now."""
        return self.standing is LinkStanding.OPEN

    @property
    def purpose(self) -> LinkPurpose | None:
        """What it is, or was, for."""
        return self.link.purpose if self.link else None

    @property
    def expires_at(self) -> datetime | None:
        """When it ends, or ended."""
        return self.link.expires_at if self.link else None
