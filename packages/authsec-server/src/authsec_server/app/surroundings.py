"""What comes from outside of the program."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time and randomness. Nothing below the composition root reads a clock or rolls a die by itself."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
