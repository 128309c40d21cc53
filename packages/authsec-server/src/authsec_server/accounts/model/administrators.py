"""Administrators: the people who may come in, each by a password or by an identity elsewhere. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from authsec_server import naming
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Principal, PrincipalKind, Role

MAX_EMAIL = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
MAX_IDENTITY = 255  # OpenID Connect Core section 2: sub must not exceed 255 ASCII characters
_EMAIL = re.compile(r"[^\s@\"<>(),:;\\]+@[^\s@\"<>(),:;\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """A person. `issuer` and `subject` name them at an OpenID provider; who has those has no password here.

    Somebody invited has neither until the invitation is used. `revision` counts changes by editors.
    """

    id: str
    email: str
    name: str
    role: Role
    created_at: datetime
    has_password: bool = False
    issuer: str = ""
    subject: str = ""
    last_sign_in_at: datetime | None = None
    disabled_at: datetime | None = None
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def enabled(self) -> bool:
        """Whether they may come in at all."""
        return self.disabled_at is None

    @property
    def has_identity(self) -> bool:
        """Whether an OpenID provider vouches for them."""
        return bool(self.issuer)

    @property
    def has_way_in(self) -> bool:
        """Whether they can sign in by themselves; an open invitation is no way in yet."""
        return self.has_password or self.has_identity

    def principal(self, session_id: str) -> Principal:
        """Who acts in this session of theirs."""
        return Principal(
            kind=PrincipalKind.ADMINISTRATOR, id=self.id, name=self.name, role=self.role, session_id=session_id
        )

    def require_password_account(self) -> None:
        """Raise `Conflict` where a password would be a second way in, past the provider that disabled the person."""
        if self.has_identity:
            raise Conflict(
                f"{self.email} signs in through the OpenID provider {self.issuer} and has no password here.",
                "What they may do, and whether they may come in, is decided there; here they can be disabled. "
                f"While it is away, on the server's machine: authsec admin setup-url --email {self.email} --sign-in",
            )

    def require_enabled(self) -> None:
        """Raise `Conflict` unless they may come in."""
        if not self.enabled:
            raise Conflict(f"{self.email} is disabled.", f"Enable them first: authsec admin enable {self.email}")


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
    """An administrator of whom nothing is known but this. Raises `Invalid`."""
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
    """An e-mail address in the form in which it is unique: composed (NFC), lower case, without space around it.

    It is a name to sign in with, not an address that mail is proved to reach. Raises `Invalid`.
    """
    if (address := read_email(value)) is None:
        raise Invalid(
            field, f"{field} must be one e-mail address.", f"Like ann@example.com, up to {MAX_EMAIL} characters."
        )
    return address


def read_email(value: str) -> str | None:
    """The address in that form, or None: what is none is never looked up."""
    if len(value) > 4 * MAX_EMAIL:
        return None
    # Lower case may decompose (İ), so it is composed after that.
    cleaned = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).strip().lower())
    unseen = any(unicodedata.category(char).startswith("C") for char in cleaned)
    return cleaned if len(cleaned) <= MAX_EMAIL and not unseen and _EMAIL.fullmatch(cleaned) else None


def identity(issuer: str, subject: str) -> tuple[str, str]:
    """Issuer and subject as a provider gave them, compared to the letter. Raises `Invalid`: nothing names nobody."""
    for field, value, longest in (("issuer", issuer, 2000), ("subject", subject, MAX_IDENTITY)):
        if not 0 < len(value) <= longest or any(unicodedata.category(char).startswith("C") for char in value):
            raise Invalid(field, f"{field} must have 1 to {longest} visible characters.")
    return issuer, subject
