"""What a verifier says in the log when it cannot know what was revoked, and when it can again: each thing once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from authsec import TokenVerifier

from .background import eventually
from .fake_feed import FEED, FakeFeed, feeding, respond
from .fake_introspection import introspecting, outcome
from .fake_keys import AUDIENCE


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "authsec.verifier")  # another test may have configured the log of a server


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    with feeding() as running:
        yield running


def cut(feed: FakeFeed) -> Callable[[], None]:
    """The feed cannot be had, until what is returned is called."""
    answer = feed.authority.live[FEED]
    feed.authority.live[FEED] = lambda handler: respond(handler, "text/plain", b"", status=502)
    with feed.changed:
        feed.closing = True
        feed.changed.notify_all()

    def mend() -> None:
        feed.closing = False
        feed.authority.live[FEED] = answer

    return mend


def why_not(verifier: TokenVerifier) -> str:
    """Why the last try to follow the feed failed."""
    followed = verifier.health().revocations
    return (followed and followed.failure) or ""


def test_that_no_token_is_accepted_is_said_once_and_so_is_the_end_of_it(
    feed: FakeFeed, caplog: pytest.LogCaptureFixture
) -> None:
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    mend = cut(feed)
    eventually(lambda: "answered 502" in why_not(verifier))
    feed.clock.pass_by(2)
    eventually(lambda: "answered 502" in caplog.text)
    feed.clock.pass_by(28)
    assert verifier.verify(bearer)
    feed.clock.pass_by(7)
    assert [outcome(verifier, bearer) for _ in range(5)] == ["revocations_unavailable"] * 5
    mend()
    eventually(lambda: outcome(verifier, bearer) == "accepted")
    eventually(lambda: "are known after" in caplog.text)
    verifier.close()
    of, away = f"the revocations of {feed.authority.url}", f"{feed.authority.url}{FEED}?since=0&limit=1000 answered 502"
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("WARNING", f"{of} are not known right now: {away}; tokens are accepted for 28 more seconds"),
        ("ERROR", f"no token for {AUDIENCE} is accepted: {of} were last known 37 seconds ago: {away}"),
        ("WARNING", f"{of} are known after 37 seconds, and tokens are checked against them"),
    ]


def test_a_cut_that_is_over_at_once_is_not_worth_a_word(feed: FakeFeed, caplog: pytest.LogCaptureFixture) -> None:
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert verifier.verify(bearer)
    for _ in range(2):
        mend = cut(feed)
        eventually(lambda: "answered 502" in why_not(verifier))
        feed.clock.pass_by(1.9)
        assert verifier.verify(bearer)
        mend()
        eventually(lambda: why_not(verifier) == "")
        feed.clock.pass_by(5)
    verifier.close()
    assert caplog.messages == []


def test_it_is_said_where_nobody_comes_with_a_token(feed: FakeFeed, caplog: pytest.LogCaptureFixture) -> None:
    verifier = feed.verifier()
    assert verifier.verify(feed.authority.token())
    cut(feed)
    feed.clock.pass_by(31)
    eventually(lambda: f"no token for {AUDIENCE} is accepted" in caplog.text)
    verifier.close()


def test_an_api_that_was_started_first(feed: FakeFeed, caplog: pytest.LogCaptureFixture) -> None:
    mend = cut(feed)
    verifier, bearer = feed.verifier(), feed.authority.token()
    assert outcome(verifier, bearer) == "revocations_unavailable"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert (
        f"no token for {AUDIENCE} is accepted: the revocations of {feed.authority.url} were never known" in caplog.text
    )
    mend()
    eventually(lambda: outcome(verifier, bearer) == "accepted")
    eventually(lambda: "and tokens are checked against them" in caplog.text)
    verifier.close()


def test_whose_tokens_are_accepted_until_they_expire_is_told_so(
    feed: FakeFeed, caplog: pytest.LogCaptureFixture
) -> None:
    verifier, bearer = feed.verifier(revocations="until_exp"), feed.authority.token()
    assert verifier.verify(bearer)
    cut(feed)
    eventually(lambda: "answered 502" in why_not(verifier))
    feed.clock.pass_by(300)
    eventually(lambda: "answered 502; tokens are accepted until they expire" in caplog.text)
    assert verifier.verify(bearer)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    verifier.close()


def test_that_tokens_are_asked_about_and_that_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    with introspecting() as its:
        verifier, bearer = its.verifier(), its.feed.authority.token()
        assert outcome(verifier, bearer) == "accepted"
        its.cut()
        eventually(lambda: f"the authority is asked about each token for {AUDIENCE}" in caplog.text)
        its.reply = lambda handler, _: respond(handler, "text/plain", b"", status=502)
        for _ in range(3):
            assert outcome(verifier, bearer) == "revocations_unavailable"
            its.feed.clock.pass_by(3)
        its.reply = its.honest_reply
        assert outcome(verifier, bearer) == "accepted"
        verifier.close()
        url = its.feed.authority.url
        assert [text for text in caplog.messages if "about" in text][-2:] == [
            f"{url} cannot be asked about tokens, so no token is accepted: {url}/authsec/v1/introspect answered 502",
            f"{url} answers requests about tokens again",
        ]


def test_it_is_seen_where_nobody_has_set_up_logging() -> None:
    """Python prints warnings that no handler takes: an API that refuses everything must not be silent."""
    program = """
from authsec import TokenVerifier, VerificationUnavailable
verifier = TokenVerifier("http://127.0.0.1:9", "https://crm.example.com")
try: verifier.check_ready()
except VerificationUnavailable: print("refused")
verifier.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert "no token can be verified: http://127.0.0.1:9/" in done.stderr
    assert "no token for https://crm.example.com is accepted" in done.stderr


def test_nothing_of_it_is_below_a_warning(feed: FakeFeed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    verifier = feed.verifier()
    assert verifier.verify(feed.authority.token())
    verifier.close()
    assert caplog.messages == []  # while all is well it is silent
