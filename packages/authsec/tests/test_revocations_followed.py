"""A verifier follows the feed of its authority, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from authsec import ConfigError, InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.verifier.revocations import authority_source, follower

from .background import eventually
from .fake_feed import FEED, FakeFeed, feed_keys, feeding, respond
from .fake_keys import AUDIENCE, ISSUER, METADATA, FakeClock, claims, key_set, reason_of, serving, token

CLIENT = claims()["client_id"]


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    with feeding() as running:
        yield running


def outcome(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def threads(feed: FakeFeed) -> int:
    return sum(thread.name == f"authsec-revocations {feed.authority.url}" for thread in threading.enumerate())


def test_what_is_revoked_is_refused_while_the_token_has_time_left(feed: FakeFeed) -> None:
    feed.end("client", CLIENT, version=7)  # before the first token, and of no consequence for it
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    began = time.monotonic()
    feed.end("client", CLIENT, version=8)
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")
    assert time.monotonic() - began < 1
    assert verifier.verify(feed.authority.token(authority_version=8))
    assert (feed.streams, feed.pages) == (1, 1)  # a page for the first token, and the stream from there
    verifier.close()


def test_the_first_token_waits_for_the_feed(feed: FakeFeed) -> None:
    """Also in a coroutine, also where many come at once, and though the keys were given."""
    feed.end("client", CLIENT)
    bearer = feed.authority.token()
    verifier = feed.verifier(keys=key_set())
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: outcome(verifier, bearer), range(4))) == {"token_revoked"}
    other = feed.verifier(revocations="until_exp")
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(other.averify(bearer))
    assert refused.value.reason == "token_revoked"
    assert "Get a new delegation token" in refused.value.details
    verifier.close()
    other.close()


def test_a_feed_that_is_silent_too_long_closes_the_door(feed: FakeFeed) -> None:
    feed.beat = 10
    verifier, lenient, bearer = feed.verifier(), feed.verifier(revocations="until_exp"), feed.authority.token()
    for each in (verifier, lenient):
        assert each.verify(bearer)
    feed.clock.pass_by(30)
    assert verifier.verify(bearer)
    feed.clock.pass_by(1)
    assert lenient.verify(bearer)
    with pytest.raises(RevocationsUnavailable, match="were last known 31 seconds ago") as refused:
        verifier.verify(bearer)
    assert (refused.value.status, refused.value.retryable, refused.value.retry_after) == (503, True, 5)
    feed.end("client", "somebody else")  # any word of it will do
    eventually(lambda: outcome(verifier, bearer) == "accepted")
    verifier.close()
    lenient.close()


def test_pages_where_no_stream_gets_through(feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_source, "POLL_PAUSE", 0.02)
    monkeypatch.setattr(authority_source, "PAGE", 2)
    feed.stream = lambda handler, _: respond(handler, "text/html", b"<p>no", status=200)
    for n in range(5):
        feed.end("token", f"t{n}")
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    assert feed.pages >= 3  # the first token waits until nothing is missing
    feed.end("delegation", "d1")
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")
    eventually(lambda: feed.streams == 1)
    feed.stream = feed.honest_stream
    feed.clock.pass_by(authority_source.STREAM_AGAIN)
    eventually(lambda: feed.streams == 2)
    verifier.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_stream_for_which_there_was_no_place_is_asked_for_again_soon(
    feed: FakeFeed, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """So many follow, or begin to, or the database was away: that is no proxy that never lets a stream through."""
    monkeypatch.setattr(authority_source, "POLL_PAUSE", 0.02)
    feed.stream = lambda handler, _: respond(handler, "application/json", b"{}", status=status)
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    eventually(lambda: feed.streams == 1)
    feed.stream = feed.honest_stream

    def is_asked_again() -> bool:
        feed.clock.pass_by(authority_source.STREAM_SOON)  # counted from when the follower reads the refusal
        return feed.streams == 2

    eventually(is_asked_again)
    verifier.close()


def test_servers_that_die_one_after_the_other_are_come_back_to_at_once(
    feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause grows with failures in a row, and what was well for some seconds in between is no row."""
    monkeypatch.setattr(follower, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(follower, "LONGEST_PAUSE", 3600.0)

    def dies(handler: BaseHTTPRequestHandler, since: int) -> None:
        respond(handler, "text/event-stream")
        handler.wfile.write(b"event: batch\ndata: %s\n\n" % feed.page(since))
        feed.clock.pass_by(2 * follower.LIVED)
        handler.wfile.write(b"event: batch\ndata: {}\n\n")  # a word that cannot be believed ends it, as a cut does

    feed.stream = dies
    verifier = feed.verifier()
    assert verifier.verify(feed.authority.token())
    eventually(lambda: feed.streams > 12)
    verifier.close()


def test_a_stream_that_is_cut_is_resumed_where_it_was(feed: FakeFeed) -> None:
    asked: list[int] = []

    def cut(handler: BaseHTTPRequestHandler, since: int) -> None:
        asked.append(since)
        if len(asked) > 2:
            feed.honest_stream(handler, since)
        respond(handler, "text/event-stream")
        handler.wfile.write(b"event: batch\ndata: %s\n\n" % feed.page(since))

    feed.stream = cut
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    feed.end("client", CLIENT)
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")
    eventually(lambda: len(asked) == 3)
    assert asked[-1] == 1
    verifier.close()


def test_an_authority_that_comes_back(feed: FakeFeed) -> None:
    away = feed.authority.live.pop(FEED)
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert outcome(verifier, bearer) == "revocations_unavailable"
    assert "answered 404" in str(verifier.health().revocations)
    feed.authority.live[FEED] = away
    eventually(lambda: outcome(verifier, bearer) == "accepted")
    verifier.close()


def test_an_authority_whose_clock_was_set_back_still_ends_tokens(feed: FakeFeed) -> None:
    """Its heads say nothing new of how fresh the feed is until it has caught up; what they end has ended."""
    verifier = feed.verifier()
    ended, other = feed.authority.token(), feed.authority.token(delegation_ids=["d2"])
    assert verifier.verify(ended)
    feed.head = {"iat": int(feed.clock.wall) - 20}
    feed.end("delegation", "d1")
    eventually(lambda: outcome(verifier, ended) == "token_revoked")
    feed.clock.pass_by(20)
    assert outcome(verifier, other) == "accepted"
    feed.clock.pass_by(11)
    assert outcome(verifier, other) == "revocations_unavailable"
    feed.head = {}
    eventually(lambda: outcome(verifier, other) == "accepted")
    verifier.close()


def test_the_first_token_waits_for_an_authority_that_has_too_much_to_do(feed: FakeFeed) -> None:
    """As when all workers of a host begin at once."""
    answer, busy = feed.authority.live[FEED], [True, True]

    def refuse(handler: BaseHTTPRequestHandler) -> None:
        respond(handler, "application/json", b"{}", status=503)

    feed.authority.live[FEED] = lambda handler: refuse(handler) if busy and busy.pop() else answer(handler)
    verifier = feed.verifier()
    assert verifier.verify(feed.authority.token())
    assert not busy
    verifier.close()
    feed.authority.live[FEED] = refuse
    verifier = feed.verifier()
    assert outcome(verifier, feed.authority.token()) == "revocations_unavailable"  # but not for ever
    verifier.close()


def test_an_authority_without_a_feed() -> None:
    with serving() as authority:
        verifier = authority.verifier(FakeClock(), revocations="fail_closed")
        with pytest.raises(RevocationsUnavailable, match="has no authsec_revocations"):
            verifier.verify(authority.token())
        verifier.close()


def test_the_health_of_a_verifier(feed: FakeFeed) -> None:
    verifier = feed.verifier()
    health = verifier.health()
    assert (health.keys.age, health.revocations and health.revocations.age, feed.authority.asked) == (None, None, [])
    feed.end("token", "t1")
    verifier.verify(feed.authority.token())
    feed.clock.pass_by(2)
    health = verifier.health()
    assert health.keys.age == 2
    assert health.revocations is not None
    assert (health.revocations.sequence, health.revocations.connected, health.revocations.failure) == (1, True, None)
    verifier.close()
    assert TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), revocations="until_exp").health().revocations is None


def test_one_thread_for_all_verifiers_of_an_authority_until_the_last_is_gone(feed: FakeFeed) -> None:
    eventually(lambda: threads(feed) == 0)
    clock = feed.clock.clock()
    made = [
        TokenVerifier(feed.authority.url, f"{AUDIENCE}/{n}", clock=clock, revocations="fail_closed") for n in range(3)
    ]
    assert threads(feed) == 0  # nothing happens at import
    for n, verifier in enumerate(made):
        assert verifier.verify(feed.authority.token(aud=f"{AUDIENCE}/{n}"))
    eventually(lambda: feed.streams == 1)
    assert (threads(feed), feed.pages) == (1, 1)
    made[0].close()
    made[0].close()
    del made[1], verifier
    gc.collect()
    feed.end("token", "t1")
    time.sleep(0.1)
    assert threads(feed) == 1
    made[-1].close()
    assert threads(feed) == 0
    left = TokenVerifier(feed.authority.url, AUDIENCE, clock=clock, revocations="fail_closed")
    assert left.verify(feed.authority.token())
    del left
    gc.collect()
    eventually(lambda: threads(feed) == 0)


def test_a_verifier_after_all_others_were_closed_waits_for_what_is_new(
    feed: FakeFeed, caplog: pytest.LogCaptureFixture
) -> None:
    clock = feed.clock.clock()
    closed, other = (
        TokenVerifier(feed.authority.url, AUDIENCE, clock=clock, revocations="fail_closed") for _ in range(2)
    )
    assert closed.verify(feed.authority.token())
    closed.close()
    other.close()
    feed.clock.pass_by(100)
    answer = feed.authority.live[FEED]
    feed.authority.live[FEED] = lambda handler: (time.sleep(0.05), answer(handler))[1]
    later = TokenVerifier(feed.authority.url, AUDIENCE, clock=clock, revocations="fail_closed")
    assert later.verify(feed.authority.token())
    later.close()
    assert "not known" not in caplog.text  # to close is no failure


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12: it is the point
def test_a_forked_worker_follows_by_itself(feed: FakeFeed) -> None:
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    ready, ended = (multiprocessing.get_context("fork").Event() for _ in range(2))
    child = multiprocessing.get_context("fork").Process(target=_work, args=(verifier, bearer, ready, ended))
    child.start()
    assert ready.wait(5)
    eventually(lambda: feed.streams == 2)
    feed.end("client", CLIENT)
    assert ended.wait(5)
    child.join(5)
    assert child.exitcode == 0
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")  # the parent's stream is whole
    assert feed.streams == 2
    verifier.close()


def _work(verifier: TokenVerifier, bearer: str, ready: Any, ended: Any) -> None:
    assert verifier.verify(bearer)
    ready.set()
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")
    ended.set()


def test_keys_of_the_feed_that_changed_are_found(feed: FakeFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    feed.authority.publish(feed_keys("feed", "next"), f"{FEED}/keys")
    feed.head["key"] = "next"
    feed.end("client", CLIENT)
    eventually(lambda: outcome(verifier, bearer) == "token_revoked")
    verifier.close()


@pytest.mark.parametrize("settings", [{"revocations": "introspect"}, {"revocations": ""}, {"stale_after": 9}])
def test_settings_that_protect_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TokenVerifier(ISSUER, AUDIENCE, **settings)
    with pytest.raises(ConfigError):
        TokenVerifier("not an address", AUDIENCE, keys=key_set(), revocations="fail_closed")


def test_given_keys_and_expiry_need_no_network() -> None:
    verifier = TokenVerifier("acme", AUDIENCE, keys=key_set(), revocations="until_exp", clock=FakeClock().clock())
    assert verifier.verify(token(iss="acme"))
    assert reason_of(verifier, token()) == "issuer_mismatch"
    assert METADATA not in str(verifier.health())
