"""A connection that is kept open and says nothing, next to nothing, or far too much.

The API must neither wait on it for ever nor take it for news that there are none; and it must not be made to store it.
"""

from __future__ import annotations

import itertools
import time
from http.server import BaseHTTPRequestHandler

import pytest
from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.revocations import authority_source
from authsec.verifier.revocations.batch import BatchRefused, read_batch

from ..fake_feed import FEED, FakeFeed, feeding, given_feed_keys, respond
from ..fake_keys import ISSUER, NOW, claims


def reason(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def test_silence_is_left_for_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_source, "SILENCE", 0.1)
    monkeypatch.setattr(authority_source, "POLL_PAUSE", 0.02)
    with feeding() as feed:

        def silent(handler: BaseHTTPRequestHandler, _: int) -> None:
            respond(handler, "text/event-stream")
            feed.quiet()

        feed.stream = silent
        verifier, bearer = feed.verifier(), feed.authority.token()
        assert reason(verifier, bearer) == "accepted"
        while feed.pages == 1:
            time.sleep(0.005)
        feed.end("client", claims()["client_id"])
        while reason(verifier, bearer) != "token_revoked":
            time.sleep(0.005)
        assert feed.streams == 1
        verifier.close()


def test_a_trickle_keeps_nothing_fresh() -> None:
    """Every comment restarts the time limit of the socket; that of the next whole batch it does not."""
    hurried = itertools.count()  # every look at this clock finds it a second later
    clock = Clock(wall=lambda: float(NOW), monotonic=lambda: float(next(hurried)))
    with feeding() as feed:

        def drip(handler: BaseHTTPRequestHandler, _: int) -> None:
            respond(handler, "text/event-stream")
            while not feed.closing:
                handler.wfile.write(b": still here\n")
                time.sleep(0.005)

        feed.stream = drip
        with pytest.raises(authority_source.StreamUnavailable, match="no complete message"):
            list(authority_source.Stream(clock=clock, trust=None).messages(f"{feed.authority.url}{FEED}?since=0"))


def test_a_flood_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_source, "MOST_BYTES", 100_000)
    with feeding() as feed:
        written = _flood(feed)
        with pytest.raises(DocumentRefused, match="larger than 100000 bytes"):
            list(authority_source.Stream(clock=Clock(), trust=None).messages(f"{feed.authority.url}{FEED}?since=0"))
    assert sum(written) < 50_000_000
    with pytest.raises(BatchRefused, match="longer than"):
        read_batch(b" " * 5_000_000, issuer=ISSUER, asked=0, keys=given_feed_keys(), now=NOW)


def _flood(feed: FakeFeed) -> list[int]:
    written: list[int] = []

    def flood(handler: BaseHTTPRequestHandler, _: int) -> None:
        respond(handler, "text/event-stream")
        while not feed.closing:
            written.append(handler.wfile.write(b"data: " + b"x" * 10_000))

    feed.stream = flood
    return written
