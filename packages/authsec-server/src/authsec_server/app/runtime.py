"""What comes from outside of the program."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from authsec_server.accounts.hashing import Hashing


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Time, randomness and what they cost. Nothing below the composition root reads a clock or rolls a die by itself.

    `hashing` makes the hashing of people's passwords, slow on purpose.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    hashing: Callable[[], Hashing] = Hashing
