"""The times of the rows that count refusals of a minute. Nobody can predict them all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import SystemRandom, token_bytes
from typing import Final

_RANDOM: Final = SystemRandom()
_SALT: Final = token_bytes(16)
_SECOND: Final = 1_000_000  # microseconds: a row is dated within the first second of its minute (`event_shape`)
_FURTHER: Final = 5


def times_within(minute: datetime, count_key: str) -> Iterator[datetime]:
    """Yield the times at which the refusal may get its row: first the minute itself, then a few random times.

    The second time stays the same in this process, so that further refusals find the row again.
    The attack: raw SQL inserts rows of a coming minute at all times that it can predict, and a server seals them.
    """
    yield minute
    digest = sha256(_SALT + f"{minute.isoformat()}|{count_key}".encode()).digest()
    yield minute + timedelta(microseconds=int.from_bytes(digest) % _SECOND)
    for _ in range(_FURTHER):
        yield minute + timedelta(microseconds=_RANDOM.randrange(_SECOND))
