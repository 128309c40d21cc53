"""Random ids that begin with the time, like a UUID of version 7 (RFC 9562).

Each token adds its ids to indexes of the audit log. New entries are then neighbours at the end of an index. Fully
random ids would change a random page of the index each, and the database would write each of these pages.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

_TIME_OCTETS: Final = 6


def ordered_octets(length: int, now: datetime, token_bytes: Callable[[int], bytes]) -> bytes:
    """Return `length` octets: six with the Unix time in milliseconds, and random octets."""
    milliseconds = int(now.timestamp() * 1000)
    return milliseconds.to_bytes(_TIME_OCTETS) + token_bytes(length - _TIME_OCTETS)
