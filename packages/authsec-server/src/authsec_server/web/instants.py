"""Points in time in JSON: RFC 3339, in UTC, to the second."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import overload

from authsec_server.failures import Invalid

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@overload
def rfc3339(instant: datetime) -> str: ...
@overload
def rfc3339(instant: None) -> None: ...
def rfc3339(instant: datetime | None) -> str | None:
    """Format the time like `2026-05-21T07:25:36Z`. None stays None."""
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(field: str, text: str) -> datetime:
    """Parse an RFC 3339 time, convert it to UTC and drop fractions of a second.

    Raises `Invalid` with the name `field`.
    """
    try:
        if not _RFC_3339.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):  # for example 30 February, or a year that is out of range in UTC
        raise Invalid(
            field, f"{field} must be a time with a time zone (RFC 3339).", "e.g. 2026-12-31T18:00:00Z"
        ) from None
