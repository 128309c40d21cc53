"""The inputs from outside the program: clocks, randomness and password hashing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from authsec_server.accounts.hashing import Hashing


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Clocks, randomness and password hashing. All other code gets the time and random bytes from this object.

    `hashing` creates the hasher for people's passwords, which is slow on purpose.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    hashing: Callable[[], Hashing] = Hashing
