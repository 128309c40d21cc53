"""What the authority gets from outside: clocks, randomness, password hashing, and the wheels of the SDK."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from authsec_server.accounts.passwords import Hashing
from authsec_server.sdk_wheels import Wheel, built_in_wheels


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Clocks, randomness and password hashing. All other code gets the time and random bytes from this object.

    `hashing` creates the hasher for people's passwords, which is slow on purpose. `sdk_wheels` reads the wheels that
    this server serves.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    hashing: Callable[[], Hashing] = Hashing
    sdk_wheels: Callable[[], Sequence[Wheel]] = built_in_wheels
