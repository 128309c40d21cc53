"""A follower tells the authority for which APIs it follows, and nothing else of itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler

import pytest
from authsec import TokenVerifier
from authsec.verifier.revocations.leases import Lease, Leases, LeaseTerms

from .background import eventually
from .fake_feed import FEED, FakeFeed, feeding
from .fake_keys import AUDIENCE

CREDENTIAL = "authsec_api_" + "c" * 43


@pytest.fixture
def asked() -> list[tuple[str | None, str | None]]:
    """What each request for the feed said of who asks."""
    return []


@pytest.fixture
def feed(asked: list[tuple[str | None, str | None]]) -> Iterator[FakeFeed]:
    with feeding() as running:
        honest = running.authority.live[FEED]

        def noting(handler: BaseHTTPRequestHandler) -> None:
            asked.append((handler.headers.get("AuthSec-Audience"), handler.headers.get("Authorization")))
            honest(handler)

        running.authority.live[FEED] = noting
        yield running


def verifiers(feed: FakeFeed) -> Callable[..., TokenVerifier]:
    """Makes verifiers that share a follower, as those of one process do."""
    return partial(TokenVerifier, feed.authority.url, clock=feed.clock.clock())


def test_each_verifier_of_the_process_is_named_as_soon_as_it_is_there(
    feed: FakeFeed, asked: list[tuple[str | None, str | None]]
) -> None:
    verifier, bearer = verifiers(feed), feed.authority.token()
    one = verifier(AUDIENCE)
    assert one.verify(bearer)
    eventually(lambda: len(asked) == 2)
    assert set(asked) == {(AUDIENCE, None)}, "the first page and the stream"
    other = verifier("https://a.example", credential=CREDENTIAL)
    both = " ".join(sorted([AUDIENCE, "https://a.example"]))
    eventually(lambda: asked[-1] == (both, f"Bearer {CREDENTIAL}"))
    assert one.verify(bearer), "the stream was begun anew, and nobody noticed"
    assert CREDENTIAL not in repr(vars(other)) + repr(other) + repr(other.health())
    other.close()
    eventually(lambda: asked[-1] == (AUDIENCE, None))
    one.close()


def test_what_no_header_can_carry_is_left_out(feed: FakeFeed, asked: list[tuple[str | None, str | None]]) -> None:
    verifier = verifiers(feed)
    odd = [verifier(each) for each in ("two words", "Bücher", "line\nbreak", "x" * 300)]
    many = [verifier(f"api-{number:02}") for number in range(20)]
    assert many[0].verify(feed.authority.token(aud="api-00"))
    assert asked[0] == (" ".join(f"api-{number:02}" for number in range(16)), None)
    for each in (*odd, *many):
        each.close()


def test_the_feed_may_be_asked_for_while_verifiers_come_and_go() -> None:
    leases, over = Leases(), threading.Event()

    def come_and_go() -> None:
        held: list[Lease] = []
        while not over.is_set():
            held.append(leases.acquire(LeaseTerms(audience=f"api-{len(held)}"), None))
            if len(held) > 200:
                leases.release(held.pop(0))
                held.clear()

    others = [threading.Thread(target=come_and_go) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in others:
            each.start()
        for _ in range(300):
            leases.headers()
    finally:
        over.set()
        for each in others:
            each.join()
        sys.setswitchinterval(interval)
