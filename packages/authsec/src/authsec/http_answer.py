"""The response to one HTTP request. `refusals` reads it without an HTTP client, which takes long to import."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The response of a server. `body` may contain a token, so no repr shows it."""

    status: int
    content_type: str
    date: str | None
    retry_after: str | None
    location: str | None
    # the header AuthSec-Audience: the API that the authority has identified
    audience: str | None = None
    dpop_nonce: str | None = None
    challenges: tuple[str, ...] = ()  # each header WWW-Authenticate
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, content_type={self.content_type!r}, {len(self.body)} bytes)"


class AnswerTooLarge(Exception):
    """The response is larger than `MOST_BYTES`; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"an answer of more than {MOST_BYTES} bytes")
        self.status = status


def http_date(header: str | None) -> datetime | None:
    """Parse a Date header (RFC 9110 §6.6.1); return None if the header is missing or invalid."""
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:  # an invalid date
        return None
