"""The credential with which an API identifies itself when it asks the authority about a token. No I/O.

A credential has no other use. The holder cannot administer anything, and cannot exchange a credential for a
token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from authsec.api_credential import is_api_credential

from authsec_server.web.oauth import read_basic

MAX_VALID: Final = 2  # the one in use, and the next: what it takes to replace one without a gap
KEPT: Final = timedelta(days=90)  # one that has ended: so long the audit log can say which it was that came in vain


class CredentialRefusal(StrEnum):
    """The reason why a credential was refused, as the audit log records it."""

    MISSING = "api_credential_missing"
    MALFORMED = "not_an_api_credential"
    UNKNOWN = "api_credential_unknown"
    OF_ANOTHER = "api_credential_of_another"
    EXPIRED = "api_credential_expired"
    REVOKED = "api_credential_revoked"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential without its secret. The secret is shown once and never stored; the table has its hash."""

    id: str
    api_id: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def refusal(self, now: datetime) -> CredentialRefusal | None:
        """Return why the credential is refused at `now`; None if the credential is valid."""
        if self.revoked_at is not None:
            return CredentialRefusal.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return CredentialRefusal.EXPIRED
        return None

    def state(self, now: datetime) -> str:
        """Return the state of the credential: `stands` (valid), `expired` or `revoked`."""
        words = {CredentialRefusal.REVOKED: "revoked", CredentialRefusal.EXPIRED: "expired"}
        refusal = self.refusal(now)
        return words[refusal] if refusal else "active"

    def revoked(self, now: datetime) -> Credential:
        """Return a copy of the credential, revoked at `now`."""
        return replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The API that holds a credential, with the fields that callers need."""

    api_id: str
    slug: str
    name: str
    identifier: str
    credential: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCredential:
    """The credential in a request. `text` has the form of a credential; `api` is the claimed slug or id, or empty."""

    text: str = field(repr=False)
    api: str = ""

    def is_of(self, holder: Holder) -> bool:
        """Return whether the credential belongs to the API that the request names. True if the request names no API."""
        return self.api in {"", holder.slug, holder.api_id}


def shown_in(authorizations: Sequence[str]) -> ShownCredential | CredentialRefusal:
    """Read the credential from the Authorization headers: `Bearer`, or `Basic` with slug or id (RFC 7662 section 2.1).

    A request with two Authorization headers is refused, because neither has precedence.
    """
    if not authorizations:
        return CredentialRefusal.MISSING
    scheme, _, sent = authorizations[0].strip().partition(" ")
    named: tuple[str, str] | None = None
    if scheme.lower() == "bearer":
        named = "", sent.strip()
    elif scheme.lower() == "basic" and (read := read_basic(sent.strip())) is not None and read[0]:
        named = read
    if named is None or len(authorizations) > 1 or not is_api_credential(named[1]):
        return CredentialRefusal.MALFORMED
    return ShownCredential(api=named[0], text=named[1])
