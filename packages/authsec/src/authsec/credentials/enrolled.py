"""What tells an enrolled key from one that somebody registered by hand: a line of text before the PEM block.

RFC 7468 section 5.2 lets such text stand there, so file and note can never be apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_NOTE = re.compile(rb"Enrolled until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ")


def noted(pem: bytes, until: datetime) -> bytes:
    """The content of the file of a key that is good until then."""
    return f"Enrolled until {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} by `authsec enrol`.\n".encode() + pem


def enrolled_until(content: bytes) -> datetime | None:
    """Until when the key in the file was enrolled; None for one that was not."""
    note = _NOTE.match(content)
    try:
        return datetime.fromisoformat(note[1].decode()) if note else None
    except ValueError:
        return None  # somebody has written into it


def if_enrolled_refused(until: datetime, now: int) -> str:
    """What helps where the authority no longer accepts an enrolled key."""
    over = until.timestamp() <= now
    what = f"This machine was enrolled until {until:%Y-%m-%d %H:%M} UTC{', which is over' if over else ''}."
    taken = "" if over else " It may have been removed by an administrator."
    return f"{what}{taken} To enrol again: make a new code on the agent's Connect page, then `authsec enrol`."
