"""A token that a platform made for a workload: whether it can be one at all, and what it says of itself.

Nobody's word is taken for anything here: the authority verifies it. What is looked at spares a person the search for
why a token was refused that never could be accepted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authsec.strict_json import StrictJsonError, loads
from authsec.wording import plain

MOST_BYTES: Final = 16_384  # what the authority reads of a token
# RFC 7515 §7.1. Nothing else may reach the Authorization header, least of all a line break.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadToken:
    """A JWT, hidden in every repr, with its claims as they stand there, unverified."""

    value: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> WorkloadToken | None:
        """The token that `text` is, with space around it allowed; None if it cannot be one."""
        value = text.strip()
        if len(value) > MOST_BYTES or not _COMPACT.fullmatch(value):
            return None
        claims = _claims(value)
        return None if claims is None else cls(value=value, claims=claims)

    def is_for(self, audience: str) -> bool:
        """Whether `audience` is among those that it names (RFC 7519 §4.1.3)."""
        return audience in self._audiences()

    def audiences_in_words(self) -> str:
        """For a message; cleaned and short."""
        return plain(", ".join(self._audiences()), 120) or "nobody in particular"

    def seconds_over(self, now: int) -> int:
        """For how long it has been expired by this machine's clock; 0 while it has not, or does not say."""
        expires = self.claims.get("exp")
        return max(0, now - int(expires)) if isinstance(expires, int | float) and not isinstance(expires, bool) else 0

    def _audiences(self) -> tuple[str, ...]:
        named = self.claims.get("aud")
        each = named if isinstance(named, list) else [named]
        return tuple(one for one in each if isinstance(one, str))


def _claims(value: str) -> Mapping[str, Any] | None:
    part = value.split(".")[1]
    try:
        claims = loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), max_bytes=MOST_BYTES)
    except (binascii.Error, StrictJsonError):
        return None
    return claims if isinstance(claims, dict) else None
