"""Administrators: people who sign in by a password or by an identity at an OpenID provider. No I/O.

One-time links: a URL with a secret that works once, for a short time, for one purpose.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from authsec_server import naming
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Principal, PrincipalKind, Role

MAX_EMAIL = 254  # RFC 5321 section 4.5.3.1.3 allows 256 with the two angle brackets
MAX_IDENTITY = 255  # OpenID Connect Core section 2: sub must not exceed 255 ASCII characters
_EMAIL = re.compile(r"[^\s@\"<>(),:;\\]+@[^\s@\"<>(),:;\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """A person who administers the authority.

    `issuer` and `subject` identify a person who signs in through an OpenID provider. Such a person has no
    password at this authority. A person who has not used the invitation yet has neither a password nor an
    identity. `revision` counts changes by editors.
    """

    id: str
    email: str
    name: str
    role: Role
    created_at: datetime
    has_password: bool = False
    has_second_factor: bool = False
    issuer: str = ""
    subject: str = ""
    last_sign_in_at: datetime | None = None
    disabled_at: datetime | None = None
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def enabled(self) -> bool:
        """Return whether the administrator may sign in at all."""
        return self.disabled_at is None

    @property
    def has_identity(self) -> bool:
        """Return whether the administrator signs in through an OpenID provider."""
        return bool(self.issuer)

    @property
    def can_sign_in(self) -> bool:
        """Return whether the administrator has a password or an identity. An open invitation is not enough."""
        return self.has_password or self.has_identity

    def principal(self, session_id: str) -> Principal:
        """Return the principal that acts in this session of the administrator."""
        return Principal(
            kind=PrincipalKind.ADMINISTRATOR, id=self.id, name=self.name, role=self.role, session_id=session_id
        )

    def require_password_account(self) -> None:
        """Raise `Conflict` if the administrator signs in through an OpenID provider.

        A password would be a second way to sign in, even after the provider has disabled the person.
        """
        if self.has_identity:
            raise Conflict(
                f"{self.email} signs in through the OpenID provider {self.issuer} and has no password here.",
                "The provider sets the role and decides who can sign in. You can disable the administrator here. "
                "If the provider is down, run on the server's machine: authsec admin setup-url --email "
                f"{self.email} --sign-in",
            )

    def require_enabled(self) -> None:
        """Raise `Conflict` if the administrator is disabled."""
        if not self.enabled:
            raise Conflict(
                f"{self.email} is disabled.", f"Enable the administrator first: authsec admin enable {self.email}"
            )


def new(
    administrator_id: str,
    now: datetime,
    *,
    email: str,
    name: str,
    role: Role,
    issuer: str = "",
    subject: str = "",
) -> Administrator:
    """Return a new administrator without a password and without a sign-in. Raises `Invalid`."""
    return Administrator(
        id=administrator_id,
        email=checked_email("email", email),
        name=naming.name("name", name),
        role=role,
        created_at=now,
        issuer=issuer,
        subject=subject,
    )


def checked_email(field: str, value: str) -> str:
    """Return the e-mail address in its unique form: composed (NFC), lower case, without surrounding space.

    The address is a sign-in name. Nobody checks whether the address receives mail. Raises `Invalid`.
    """
    if (address := read_email(value)) is None:
        raise Invalid(
            field, f"{field} must be an e-mail address.", f"For example ann@example.com, up to {MAX_EMAIL} characters."
        )
    return address


def read_email(value: str) -> str | None:
    """Return the e-mail address in its unique form, or None if the text is not an address.

    For None, the caller needs no look-up.
    """
    if len(value) > 4 * MAX_EMAIL:
        return None
    # Lower case may decompose a character (İ), so the composition comes last.
    cleaned = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).strip().lower())
    unseen = any(unicodedata.category(char).startswith("C") for char in cleaned)
    return cleaned if len(cleaned) <= MAX_EMAIL and not unseen and _EMAIL.fullmatch(cleaned) else None


def identity(issuer: str, subject: str) -> tuple[str, str]:
    """Return the issuer and the subject unchanged, after a check. Raises `Invalid`.

    Both are later compared character by character, so this function normalises neither. An empty value is
    invalid, because an empty value identifies nobody.
    """
    for name, value, longest in (("issuer", issuer, 2000), ("subject", subject, MAX_IDENTITY)):
        if not 0 < len(value) <= longest or any(unicodedata.category(char).startswith("C") for char in value):
            raise Invalid(name, f"{name} must have 1 to {longest} visible characters.")
    return issuer, subject


class LinkPurpose(StrEnum):
    """The purpose of a link."""

    FIRST_ADMINISTRATOR = "first_administrator"  # creates the first administrator
    SET_PASSWORD = "set_password"  # noqa: S105 - an invitation, or a reset
    SIGN_IN = "sign_in"  # signs one administrator in, once
    # A sign-in that waits for the code of the second factor. The browser has the secret in a cookie, not in a URL.
    CODE_AFTER_PASSWORD = "code_after_password"  # noqa: S105 - a purpose's name
    CODE_AFTER_LINK = "code_after_link"


class LinkStatus(StrEnum):
    """The state of a link: open, or why it cannot be used."""

    OPEN = "open"
    USED = "used"
    VOIDED = "voided"  # a newer link replaced this link, or a change made it useless
    EXPIRED = "expired"
    TOO_LATE = "too_late"  # the first administrator exists already, or the link's administrator is disabled
    UNKNOWN = "unknown"


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
