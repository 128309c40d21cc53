"""A token that a platform made for a workload: its format, and its unverified claims.

Only the authority verifies the token, and this module does not trust the claims. The checks explain early why
the authority would refuse a token.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authsec.safe_text import plain
from authsec.strict_json import StrictJsonError, loads

MOST_BYTES: Final = 16_384  # The authority refuses longer tokens.
# The compact form (RFC 7515 §7.1). No other text, such as a line break, may reach the Authorization header.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadToken:
    """A JWT with its unverified claims. The repr does not show the JWT."""

    value: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> WorkloadToken | None:
        """Parse `text` as a token and ignore surrounding spaces; return None if `text` cannot be a token."""
        value = text.strip()
        if len(value) > MOST_BYTES or not _COMPACT.fullmatch(value):
            return None
        claims = _json_part(value, 1)
        return None if claims is None else cls(value=value, claims=claims)

    def is_for(self, audience: str) -> bool:
        """Whether the token's audiences include `audience` (RFC 7519 §4.1.3)."""
        return audience in self.audiences()

    def audiences_in_words(self) -> str:
        """Return the token's audiences as text for a message, cleaned and shortened."""
        return plain(", ".join(self.audiences()), 120) or "(none)"

    def seconds_over(self, now: int) -> int:
        """Return the seconds since the token's expiry, by this machine's clock.

        The result is 0 if the token has not expired or has no `exp`.
        """
        expires = self._expires()
        return 0 if expires is None else max(0, now - expires)

    def seconds_left(self, now: int) -> int:
        """Return the seconds until the token's expiry, by this machine's clock.

        The result is 0 if the token has expired or has no `exp`.
        """
        expires = self._expires()
        return 0 if expires is None else max(0, expires - now)

    def key_id(self) -> str:
        """Return the unverified `kid` of the signing key; empty if the header has none (RFC 7515 §4.1.4)."""
        named = (_json_part(self.value, 0) or {}).get("kid")
        return named if isinstance(named, str) else ""

    def _expires(self) -> int | None:
        expires = self.claims.get("exp")
        return int(expires) if isinstance(expires, int | float) and not isinstance(expires, bool) else None

    def audiences(self) -> tuple[str, ...]:
        """Return the token's unverified audiences (`aud`)."""
        named = self.claims.get("aud")
        each = named if isinstance(named, list) else [named]
        return tuple(one for one in each if isinstance(one, str))


def _json_part(value: str, number: int) -> Mapping[str, Any] | None:
    part = value.split(".")[number]
    try:
        members = loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), max_bytes=MOST_BYTES)
    except (binascii.Error, StrictJsonError):  # not a JWT: only the authority can judge the token
        return None
    return members if isinstance(members, dict) else None
