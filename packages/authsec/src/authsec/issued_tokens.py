"""The tokens issued to all clients and threads of this process, as long as they may be valid.

A tool can get a token in several ways: by `delegation_token`, by `requests_auth`, by its own client, or in a
thread that the tool starts. So `authsec.redaction` searches a tool's result for all these tokens. The cache
records each token when it arrives. So a later call that finds its token in the cache has no extra cost.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from authsec.clock import Clock

_LEEWAY: Final = 60.0  # seconds: an API may accept a token this long after its expiry
# tokens; more tokens replace the oldest, so a program that always renews tokens does not fill the memory
_MOST: Final = 1000

# Characters. Tokens of one authority have the same prefix, so one search finds all of them.
PREFIX_LENGTH: Final = 24

_expiries: Final[dict[str, tuple[Clock, float]]] = {}
_lock = threading.Lock()
_tokens: tuple[str, ...] = ()
_beginnings: frozenset[str] = frozenset()


def record(token: str, expires_in: float, clock: Clock) -> None:
    """Record a token that is valid for `expires_in` seconds from now, by `clock`.

    A text that is shorter than a prefix is ignored, because redaction would find it in any result.
    """
    global _tokens, _beginnings
    if len(token) < PREFIX_LENGTH:
        return
    with _lock:
        expired = [one for one, (clock_of_token, ends) in _expiries.items() if clock_of_token.monotonic() > ends]
        for one in expired:
            del _expiries[one]
        while len(_expiries) >= _MOST:
            del _expiries[next(iter(_expiries))]
        _expiries[token] = clock, clock.monotonic() + expires_in + _LEEWAY
        _beginnings = frozenset(one[:PREFIX_LENGTH] for one in _expiries)
        _tokens = tuple(_expiries)


def live_tokens() -> tuple[str, ...]:
    """Return the recorded tokens that may still be valid."""
    return _tokens


def prefixes() -> frozenset[str]:
    """Return the prefix of each recorded token: its first 24 characters."""
    return _beginnings


def _renew_lock() -> None:
    """Replace the lock after a fork, because a thread of the parent process may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
