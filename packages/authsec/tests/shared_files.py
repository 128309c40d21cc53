"""Workers that share a file, of a fake authority in the real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock

from .fake_feed import FakeFeed
from .fake_keys import AUDIENCE


def worker(feed: FakeFeed, path: Path, **settings: Any) -> TokenVerifier:
    """As in a process of its own: its clock is its own, and so are its follower, its thread and its lock."""
    clock = Clock(sleep=lambda _: None)
    return TokenVerifier(feed.authority.url, AUDIENCE, clock=clock, **{"shared_file": path, **settings})


@contextmanager
def workers(feed: FakeFeed, path: Path, count: int = 2) -> Iterator[list[TokenVerifier]]:
    """The first of them follows."""
    made = [worker(feed, path) for _ in range(count)]
    try:
        for each in made:
            each.verify(bearer(feed, "x"))
        yield made
    finally:
        for each in made:
            each.close()


def bearer(feed: FakeFeed, client: str = "c1") -> str:
    """A token that is good for ten minutes from now."""
    now = int(time.time())
    return feed.authority.token(client_id=client, iat=now, nbf=now, exp=now + 600)


def outcome(verifier: TokenVerifier, token: str) -> str:
    try:
        verifier.verify(token)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def refuses(verifier: TokenVerifier, token: str) -> Callable[[], bool]:
    """Whether the token is known to be revoked."""
    return lambda: outcome(verifier, token) == "token_revoked"


def role(verifier: TokenVerifier) -> str:
    health = verifier.health().revocations
    return "" if health is None else health.role.partition(" /")[0]


def plays(verifier: TokenVerifier, part: str) -> Callable[[], bool]:
    return lambda: role(verifier) == part
