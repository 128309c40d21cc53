"""One-time links: a URL with a secret that works once, for a short time, for one purpose. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.accounts.model.administrators import Administrator

FROM_THE_MACHINE = timedelta(minutes=15)
TO_SOMEBODY = timedelta(hours=24)


class LinkPurpose(StrEnum):
    """The purpose of a link."""

    FIRST_ADMINISTRATOR = "first_administrator"  # makes the first one, while there is none
    SET_PASSWORD = "set_password"  # noqa: S105 - an invitation, or a reset
    SIGN_IN = "sign_in"  # lets one administrator in, once


class LinkStatus(StrEnum):
    """The state of a link: open, or why it cannot be used."""

    OPEN = "open"
    USED = "used"
    VOIDED = "voided"  # a newer link took its place, or what it was for is over
    EXPIRED = "expired"
    TOO_LATE = "too_late"  # it was for the first administrator, and there is one; or its administrator is disabled
    UNKNOWN = "unknown"


MESSAGES = {
    LinkStatus.USED: "This link was already used. A link works only once.",
    LinkStatus.VOIDED: "This link is no longer valid: a newer link replaced it.",
    LinkStatus.EXPIRED: "This link has expired.",
    LinkStatus.TOO_LATE: "This link is no longer valid: the first administrator already exists, or the "
    "administrator of the link is disabled.",
    LinkStatus.UNKNOWN: "This link is not from this authority, is incomplete, or expired some time ago.",
}
REMEDY = "Ask the sender for a new link. On the server's machine, `authsec admin setup-url` makes one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link without its secret. `administrator_id` is empty if the link is for a person without an account."""

    id: str
    purpose: LinkPurpose
    administrator_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    voided_at: datetime | None = None

    def status(self, now: datetime) -> LinkStatus:
        """Return the state of the link. The state of the administrator is not considered."""
        if self.used_at is not None:
            return LinkStatus.USED
        if self.voided_at is not None:
            return LinkStatus.VOIDED
        return LinkStatus.EXPIRED if now >= self.expires_at else LinkStatus.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A new link with its code, which is shown only once."""

    link: Link
    code: str = field(repr=False)

    @property
    def path(self) -> str:
        """Return the console path that opens the link, relative to the issuer."""
        return f"/console/set-up?code={self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """The facts that the holder of a code may see about the link. `administrator` is the person the link is for."""

    status: LinkStatus
    link: Link | None = None
    administrator: Administrator | None = None

    @property
    def open(self) -> bool:
        """Return whether the link can be used."""
        return self.status is LinkStatus.OPEN

    @property
    def purpose(self) -> LinkPurpose | None:
        """Return the purpose of the link; None if the link is unknown."""
        return self.link.purpose if self.link else None

    @property
    def expires_at(self) -> datetime | None:
        """Return when the link expires or expired; None if the link is unknown."""
        return self.link.expires_at if self.link else None
