"""The tokens that clients of this process were issued and that may still be valid, whichever thread or client has them.

A tool gets tokens by `delegation_token`, by `requests_auth`, by a client of its own, in threads that it starts: its
result is searched for all of them (`authsec.redaction`). The cache records them as they arrive, so that a token from
the cache costs nothing.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from authsec.clock import Clock

_LEEWAY: Final = 60.0  # seconds for which an API may take a token after its end
_MOST: Final = 1000  # the oldest makes room: a program that renews without end must not fill the memory

PREFIX_LENGTH: Final = 24  # characters; those of one authority's tokens are the same, so many are looked for as one

_expiries: Final[dict[str, tuple[Clock, float]]] = {}
_lock = threading.Lock()
_tokens: tuple[str, ...] = ()
_beginnings: frozenset[str] = frozenset()


def record(token: str, expires_in: float, clock: Clock) -> None:
    """`token` lives for `expires_in` seconds, by this clock. What is too short to be one would be found in any text."""
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
    """The tokens that may still be valid."""
    return _tokens


def prefixes() -> frozenset[str]:
    """The first characters of each live token."""
    return _beginnings


def _renew_lock() -> None:
    """In a child process: a thread of the parent may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
