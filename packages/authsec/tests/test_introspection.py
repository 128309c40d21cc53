"""A verifier that asks the authority about each token while it cannot follow the feed, over real sockets."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec import ConfigError, InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.clock import Clock
from authsec.verifier import introspection
from authsec.verifier.documents import DocumentRefused
from authsec.verifier.introspection import Introspection
from authsec.verifier.verification_cache import token_digest

from .fake_feed import FEED
from .fake_introspection import CREDENTIAL, INTROSPECT, FakeIntrospection, health_of, introspecting, outcome
from .fake_keys import AUDIENCE, ISSUER, FakeClock, claims, key_set, token


@pytest.fixture
def its() -> Iterator[FakeIntrospection]:
    with introspecting() as running:
        yield running


def test_while_the_feed_is_followed_nobody_is_asked(its: FakeIntrospection) -> None:
    verifier, bearer = its.verifier(), its.feed.authority.token()
    assert outcome(verifier, bearer) == "accepted"
    assert its.asked == []
    health = health_of(verifier)
    assert (health.in_use, health.failure) == (False, None)
    verifier.close()


def test_while_it_cannot_be_each_token_is_asked_about(its: FakeIntrospection) -> None:
    verifier, good, bad = its.verifier(), its.feed.authority.token(), its.feed.authority.token(jti="bad")
    assert outcome(verifier, good) == "accepted"
    its.cut()
    its.dead.add(bad)
    assert [outcome(verifier, each) for each in (good, bad, good, bad)] == ["accepted", "token_revoked"] * 2
    assert its.asked == [good, bad]  # each answer is kept
    assert health_of(verifier).in_use
    its.feed.clock.pass_by(introspection.KEPT_FOR)
    assert outcome(verifier, good) == "accepted"
    assert its.asked == [good, bad, good]
    verifier.close()


def test_what_was_found_dead_stays_dead(its: FakeIntrospection) -> None:
    """Also when another answer comes, and when the feed is back, which knows nothing of it."""
    answer = its.feed.authority.live[FEED]
    verifier, bearer = its.verifier(), its.feed.authority.token()
    its.feed.authority.live.pop(FEED)
    its.dead.add(bearer)
    assert outcome(verifier, bearer) == "token_revoked"
    its.dead.clear()
    its.feed.clock.pass_by(60)
    assert outcome(verifier, bearer) == "token_revoked"
    its.feed.authority.live[FEED] = answer
    other = its.feed.authority.token(jti="other")
    while its.asked.count(other) < 1 or health_of(verifier).in_use:
        assert outcome(verifier, other) == "accepted"
    assert outcome(verifier, bearer) == "token_revoked"
    assert its.asked.count(bearer) == 1
    verifier.close()


def test_where_there_never_was_a_feed_it_does(its: FakeIntrospection) -> None:
    its.feed.authority.live.pop(FEED)
    verifier, bearer = its.verifier(), its.feed.authority.token()
    assert asyncio.run(verifier.averify(bearer)).jti == claims()["jti"]
    its.dead.add(revoked := its.feed.authority.token(jti="revoked"))
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.averify(revoked))
    assert (refused.value.reason, refused.value.status) == ("token_revoked", 401)
    assert its.asked == [bearer, revoked]
    verifier.close()


def test_where_nobody_answers_nothing_is_accepted(its: FakeIntrospection) -> None:
    verifier, bearer = its.verifier(), its.feed.authority.token()
    away = its.feed.authority.live.pop(INTROSPECT)
    its.feed.authority.live.pop(FEED)
    with pytest.raises(RevocationsUnavailable, match="answered 404") as refused:
        verifier.verify(bearer)
    assert (refused.value.status, refused.value.retryable, refused.value.retry_after) == (503, True, 2)
    asked = its.feed.authority.asked.count(INTROSPECT)
    for n in range(20):  # nobody is hammered meanwhile
        assert outcome(verifier, its.feed.authority.token(jti=f"t{n}")) == "revocations_unavailable"
    assert its.feed.authority.asked.count(INTROSPECT) == asked
    assert health_of(verifier).failure is not None
    its.feed.authority.live[INTROSPECT] = away
    its.feed.clock.pass_by(introspection.PAUSE)
    assert outcome(verifier, bearer) == "accepted"
    assert health_of(verifier).failure is None
    verifier.close()


def test_a_crowd_with_one_token_asks_once(its: FakeIntrospection) -> None:
    its.feed.authority.live.pop(FEED)
    verifier, bearer = its.verifier(keys=key_set()), its.feed.authority.token()
    assert outcome(verifier, bearer) == "accepted"
    its.feed.clock.pass_by(introspection.KEPT_FOR)
    its.opened.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(outcome, verifier, bearer) for _ in range(8)]
        while len(its.asked) < 2:
            pass
        its.opened.set()
        assert {each.result(5) for each in waiting} == {"accepted"}
    assert len(its.asked) == 2
    verifier.close()


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="authsec apis create-credential") as missing:
        TokenVerifier(ISSUER, AUDIENCE, revocations="introspect")
    assert missing.value.reason == "credential_missing"
    for wrong in ("", "authsec_" + "c" * 43, CREDENTIAL[:-1], token()):
        with pytest.raises(ConfigError) as refused:
            TokenVerifier(ISSUER, AUDIENCE, credential=wrong)
        assert refused.value.reason == "credential_invalid"
        assert not wrong or wrong not in str(refused.value)
    monkeypatch.setenv("AUTHSEC_API_CREDENTIAL", f"{CREDENTIAL}\n")
    verifier = TokenVerifier(ISSUER, AUDIENCE, revocations="introspect")
    assert CREDENTIAL not in repr(verifier) + repr(verifier.health())


class Asked:
    """An `Introspection` without HTTP: `replies` are what is answered, by jti."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.questions: list[str] = []
        self.replies: dict[str, Any] = {}
        self.introspection = Introspection(ISSUER, self._ask, mark=token_digest, clock=self.clock.clock())

    def _ask(self, bearer: str, its: Any) -> bool:
        self.questions.append(bearer)
        reply = self.replies.get(its["jti"], True)
        if isinstance(reply, Exception):
            raise reply
        return bool(reply)

    def check(self, jti: str, **changes: Any) -> None:
        self.introspection.check(jti, claims(jti=jti, **changes))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "KEPT", 2)
    monkeypatch.setattr(introspection, "REFUSED", 2)
    its = Asked()
    for jti in "abcab":
        its.check(jti)
    assert its.questions == list("abcab")
    its.replies = {"d": False, "e": False, "f": False, "g": False}
    for jti in "def":
        its.check(jti)
    assert [its.introspection.is_dead(jti) for jti in "def"] == [False, True, True]  # it is asked about again
    its.clock.pass_by(100_000)
    its.check("g", exp=claims()["exp"] + 100_000)
    assert [its.introspection.is_dead(jti) for jti in "efg"] == [False, False, True]  # those had expired


def test_a_question_that_fails_inside_the_program_blocks_nobody() -> None:
    its = Asked()
    its.replies = {"a": ZeroDivisionError()}
    with pytest.raises(ZeroDivisionError):
        its.check("a")
    its.replies = {}
    its.check("a")
    assert its.questions == ["a", "a"]


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12: it is the point
def test_a_forked_worker_waits_for_no_question_of_its_parent() -> None:
    held, here = threading.Event(), os.getpid()

    def ask(_bearer: str, _claims: Any) -> bool:
        return held.wait(10) if os.getpid() == here else True

    asked = Introspection(ISSUER, ask, mark=token_digest, clock=Clock())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asked.check, "t", claims())
        while not asked.ever_asked:
            pass
        child = multiprocessing.get_context("fork").Process(target=asked.check, args=("t", claims()))
        child.start()
        child.join(5)
        assert child.exitcode == 0
        held.set()
        waiting.result(5)


def test_those_who_wait_for_an_answer_wait_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "PATIENCE", 0.02)
    held = threading.Event()

    def ask(bearer: str, _: Any) -> bool:
        held.wait(5)
        raise DocumentRefused("it hangs")

    asked = Introspection(ISSUER, ask, mark=token_digest, clock=Clock())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked.check, "t", claims())
        while not asked.ever_asked:
            pass
        with pytest.raises(RevocationsUnavailable, match="takes too long"):
            asked.check("t", claims())
        held.set()
        with pytest.raises(RevocationsUnavailable, match="it hangs"):
            first.result(5)
