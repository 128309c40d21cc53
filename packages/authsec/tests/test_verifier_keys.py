"""Finding the authority's keys and keeping them fresh, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from authsec import ConfigError, KeysUnavailable, TokenVerifier
from authsec.verifier.documents import DocumentRefused, Documents
from authsec.verifier.published_keys import FIRST_PAUSE, RETRY_PAUSE, PublishedKeys

from .background import eventually
from .fake_keys import (
    AUDIENCE,
    JWKS,
    METADATA,
    UNFOLLOWED,
    FakeAuthority,
    FakeClock,
    certificate,
    jwk_of,
    key_set,
    reason_of,
    rsa_key,
    serving,
    token,
)


@pytest.fixture
def authority() -> Iterator[FakeAuthority]:
    with serving() as served:
        yield served


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_one_fetch_serves_many_tokens(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    assert authority.asked == []
    for _ in range(3):
        assert verifier.verify(authority.token())
    assert authority.asked == [METADATA, JWKS]


def test_many_threads_wait_for_one_fetch(authority: FakeAuthority, clock: FakeClock) -> None:
    gate = threading.Event()
    authority.pages[JWKS].gate = gate
    verifier, bearer = authority.verifier(clock), authority.token()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(verifier.verify, bearer) for _ in range(8)]
        eventually(lambda: JWKS in authority.asked)
        gate.set()
        assert all(each.result() for each in waiting)
    assert authority.key_sets_fetched == 1


def test_a_coroutine_leaves_the_event_loop_free(authority: FakeAuthority, clock: FakeClock) -> None:
    gate = threading.Event()
    authority.pages[JWKS].gate = gate
    verifier, bearer = authority.verifier(clock), authority.token()

    async def story() -> None:
        waiting = asyncio.create_task(verifier.averify(bearer))
        while JWKS not in authority.asked:  # noqa: ASYNC110 - it is asked in another thread
            await asyncio.sleep(0.005)  # the loop goes round although the fetch hangs
        gate.set()
        assert await waiting
        assert await verifier.averify(bearer)

    asyncio.run(story())
    assert authority.key_sets_fetched == 1


def test_a_set_is_renewed_in_the_background(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    gate = threading.Event()
    authority.publish(key_set("next"), gate=gate)
    clock.pass_by(300)
    assert verifier.verify(authority.token())  # not held up by the fetch that begins here
    assert verifier.verify(authority.token())
    eventually(lambda: authority.key_sets_fetched == 2)
    gate.set()
    eventually(lambda: reason_of_or_none(verifier, authority.token()) == "kid_unknown")
    assert verifier.verify(authority.token("next"))
    assert authority.key_sets_fetched == 3  # the third was to look for the key that is gone


def reason_of_or_none(verifier: TokenVerifier, bearer: str) -> str | None:
    try:
        return reason_of(verifier, bearer)
    except AssertionError:  # from `reason_of`: it was let in
        return None


def test_after_a_quiet_time_the_first_caller_waits_for_the_new_set(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    authority.publish(key_set("next"))
    clock.pass_by(600)
    assert reason_of(verifier, authority.token(exp=int(clock.wall) + 60)) == "kid_unknown"
    assert authority.key_sets_fetched == 2


def test_a_dead_authority_is_ridden_out(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    long_lived = authority.token(exp=int(clock.wall) + 10**6)
    verifier.verify(long_lived)
    authority.pages.clear()
    asked = len(authority.asked)
    clock.pass_by(3600)
    assert verifier.verify(long_lived)
    assert len(authority.asked) == asked + 1
    for _ in range(5):  # no second try so soon
        assert verifier.verify(long_lived)
    assert len(authority.asked) == asked + 1
    clock.pass_by(RETRY_PAUSE)
    gate = threading.Event()
    authority.publish({}, METADATA, status=500, gate=gate)
    began = time.monotonic()
    assert verifier.verify(long_lived)  # tries again, and does not wait for it
    assert time.monotonic() - began < 1
    eventually(lambda: len(authority.asked) == asked + 2)
    gate.set()


def test_without_any_key_there_is_no_verification(
    authority: FakeAuthority, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = authority.verifier(clock)
    authority.pages.clear()
    with pytest.raises(KeysUnavailable) as caught:
        verifier.verify(authority.token())
    assert (caught.value.status, caught.value.retryable, caught.value.retry_after) == (503, True, 2)
    assert str(caught.value) == (
        f"The keys of {authority.url} are not available, so no token can be verified: "
        f"{authority.url}{METADATA} answered 404."
    )
    assert [record.getMessage() for record in caplog.records] == [
        (
            f"the keys of {authority.url} are not available, so no token can be verified: "
            f"{authority.url}{METADATA} answered 404"
        )
    ]
    clock.pass_by(1)
    with pytest.raises(KeysUnavailable) as caught:
        verifier.verify(authority.token())
    assert caught.value.retry_after == 1
    assert authority.asked == [METADATA]


def test_an_api_that_was_started_first_has_keys_soon_after_its_authority_is_there(
    authority: FakeAuthority, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = authority.verifier(clock)
    pages, authority.pages = authority.pages, {}
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            verifier.verify(authority.token())
        clock.pass_by(FIRST_PAUSE)
    authority.pages = pages
    assert verifier.verify(authority.token())
    assert caplog.messages[1:] == [f"the keys of {authority.url} are available again after 40 seconds"]


def test_where_each_try_takes_long_most_callers_do_not_wait_for_one(authority: FakeAuthority, clock: FakeClock) -> None:
    asked = []

    def hangs(url: str) -> Any:
        asked.append(url)
        clock.pass_by(4)
        raise DocumentRefused("no answer")

    settings = {"fresh_for": 300, "keep_for": 300, "unknown_key_pause": 60}
    keys = PublishedKeys(authority.url, hangs, clock=clock.clock(), **settings)
    for _ in range(8):
        with pytest.raises(KeysUnavailable):
            keys.check_current()
        clock.pass_by(1)
    assert len(asked) == 1


def test_how_long_old_keys_are_used_is_said_and_when_they_are_no_more(
    authority: FakeAuthority, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = authority.verifier(clock, fresh_for=300, keep_for=3600)
    long_lived = authority.token(exp=int(clock.wall) + 10**6)
    assert verifier.verify(long_lived)
    pages, authority.pages = authority.pages, {}
    for _ in range(3):
        clock.pass_by(1000)
        assert verifier.verify(long_lived)
        eventually(lambda: verifier.health().keys.failure is not None)
    clock.pass_by(1000)
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            verifier.verify(long_lived)
        clock.pass_by(RETRY_PAUSE)
    authority.pages = pages
    assert verifier.verify(long_lived)
    of = f"the keys of {authority.url}"
    away = f"{authority.url}{METADATA} answered 404"
    assert caplog.messages == [
        f"{of} cannot be renewed: {away}. The keys that were fetched 1000 seconds ago are used for 2600 more seconds",
        f"{of} are not available, so no token can be verified: {away}",
        f"{of} are available again after 3020 seconds",
    ]


def test_keys_come_back_with_the_authority(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    pages, authority.pages = authority.pages, {}
    with pytest.raises(KeysUnavailable):
        verifier.verify(authority.token())
    authority.pages = pages
    clock.pass_by(RETRY_PAUSE)
    assert verifier.verify(authority.token())


def test_nobody_listens(clock: FakeClock) -> None:
    with serving() as gone:
        verifier = gone.verifier(clock)
    with pytest.raises(KeysUnavailable, match="nothing accepts connections"):
        verifier.verify(gone.token())


def test_a_key_that_has_just_been_published_is_found(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    authority.publish(key_set("current", "next"))
    assert verifier.verify(authority.token("next"))
    assert authority.key_sets_fetched == 2


def test_of_keys_that_sign_before_they_are_published_one_a_minute_is_found(
    authority: FakeAuthority, clock: FakeClock
) -> None:
    """Who forces a rotation has tokens refused, where a stranger or a rotation before it has just had us look."""
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    authority.publish(key_set("current", "next"))
    assert verifier.verify(authority.token("next"))
    authority.publish(key_set("current", "next", "other"))
    assert reason_of(verifier, authority.token("other")) == "kid_unknown"
    clock.pass_by(60)
    assert verifier.verify(authority.token("other"))


def test_a_revoked_key_lets_an_unknown_one_be_looked_for_at_once(authority: FakeAuthority, clock: FakeClock) -> None:
    """Another key signs from that moment on, and a stranger may have used up the lookup of this minute."""
    its = clock.clock()
    documents = Documents(clock=its, trust=None)
    keys = PublishedKeys(
        authority.url, documents.fetch, clock=its, fresh_for=300, keep_for=86_400, unknown_key_pause=60
    )
    revoked = [0]
    keys.revoked_keys = lambda: revoked[0]
    assert keys.find("current")
    assert keys.find("of a stranger") is None
    authority.publish(key_set("next"))
    assert keys.find("next") is None
    revoked[0] += 1
    assert keys.find("next")
    assert keys.find("of a stranger") is None
    assert authority.key_sets_fetched == 3


def test_a_key_that_arrives_in_the_background_at_that_moment_is_found(authority: FakeAuthority) -> None:
    """The set is renewed between the look into the old one and the question whether to look anew."""

    class Waiting(FakeClock):
        monotonic = property(lambda self: self.now(), lambda *_: None)  # type: ignore[assignment] # a number when read
        passed = 0.0

        def now(self) -> float:
            for thread in threading.enumerate():
                if thread.name == "authsec-keys" and thread is not threading.current_thread():
                    thread.join()
            return 1000.0 + self.passed

    clock = Waiting()
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    authority.publish(key_set("current", "next"))
    clock.passed = 400.0
    assert verifier.verify(authority.token("next"))
    assert authority.key_sets_fetched == 2


def test_an_unknown_key_while_nobody_can_look_is_no_refusal(authority: FakeAuthority, clock: FakeClock) -> None:
    """401 would make the agent throw its good token away."""
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    authority.pages.clear()
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            verifier.verify(authority.token("next"))
    assert verifier.verify(authority.token())


def test_a_look_that_failed_uses_up_no_minute(authority: FakeAuthority, clock: FakeClock) -> None:
    """A restored authority publishes new keys as soon as it answers: healthy agents go on within seconds."""
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    pages = dict(authority.pages)
    authority.pages.clear()
    with pytest.raises(KeysUnavailable):
        verifier.verify(authority.token("next"))
    authority.pages.update(pages)
    authority.publish(key_set("next"))
    clock.pass_by(RETRY_PAUSE)
    assert verifier.verify(authority.token("next"))


def test_a_set_back_clock_does_not_keep_keys_young(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    clock.monotonic += 86_400
    authority.pages.clear()
    with pytest.raises(KeysUnavailable):
        verifier.verify(authority.token())


def test_a_sleeping_machine_does_not_keep_keys_young(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    clock.wall += 86_400
    authority.pages.clear()
    with pytest.raises(KeysUnavailable):
        verifier.verify(authority.token(exp=int(clock.wall) + 60))


def test_unusable_keys_are_left_out_and_named_in_the_log(
    authority: FakeAuthority, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    key = rsa_key()
    good = jwk_of(key, "current")
    others: list[Any] = [
        "nonsense",
        None,
        {},
        {**good, "kid": None},
        {**good, "kid": ["current"]},
        {**good, "kid": 7},
        {**good, "kid": "encrypts", "use": "enc"},
        {**good, "kid": "leaked", "d": "AQAB"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "half", "n": good["n"]},
    ]
    authority.publish({"keys": [*others, good, jwk_of(rsa_key("other"), "current")]})
    verifier = authority.verifier(clock)
    with caplog.at_level(logging.WARNING, "authsec.verifier"):
        assert verifier.verify(authority.token())  # of two keys with one name the first counts
    assert len(caplog.records) == 4
    assert "c2VjcmV0" not in caplog.text
    for kid in ("encrypts", "leaked", "shared", "half"):
        assert reason_of(verifier, authority.token(kid)) == "kid_unknown"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ({"status": 500}, "answered 500"),
        ({"status": 204}, "answered 204"),
        ({"content_type": "text/html"}, "not served as JSON"),
        ({"content_type": None}, "not served as JSON"),
        ({"content_type": "application/jsonp"}, "not served as JSON"),
        ({"content_type": "text/x+json"}, "not served as JSON"),
    ],
)
def test_answers_that_are_not_a_key_set(
    authority: FakeAuthority, clock: FakeClock, page: dict[str, Any], why: str
) -> None:
    authority.publish(key_set(), **page)
    with pytest.raises(KeysUnavailable, match=why):
        authority.verifier(clock).verify(authority.token())


@pytest.mark.parametrize("content_type", ["application/jwk-set+json", "Application/JSON; charset=utf-8"])
def test_json_by_other_names(authority: FakeAuthority, clock: FakeClock, content_type: str) -> None:
    authority.publish(key_set(), content_type=content_type)
    assert authority.verifier(clock).verify(authority.token())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "not a JSON object"),
        (b'{"keys": [], "keys": []}', "not strict JSON"),
        (b"", "not strict JSON"),
        (b'{"keys": [' + b" " * 262_144 + b"]}", "larger than"),
        (b'{"keys": []}', "no usable key"),
        (b'{"keys": {}}', "no usable key"),
        (b"{}", "no usable key"),
    ],
)
def test_bodies_that_are_not_a_key_set(authority: FakeAuthority, clock: FakeClock, body: bytes, why: str) -> None:
    authority.pages[JWKS].body = body
    with pytest.raises(KeysUnavailable, match=why):
        authority.verifier(clock).verify(authority.token())


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12: it is the point
def test_a_fork_while_a_fetch_is_under_way(authority: FakeAuthority, clock: FakeClock) -> None:
    """The child has a copy of the lock and nobody who would release it."""
    gate = threading.Event()
    authority.pages[JWKS].gate = gate
    verifier = authority.verifier(clock)
    fetching = threading.Thread(target=verifier.verify, args=(authority.token(),))
    fetching.start()
    eventually(lambda: JWKS in authority.asked)
    child = multiprocessing.get_context("fork").Process(target=_verify_in_child, args=(verifier, authority.token()))
    child.start()
    eventually(lambda: authority.key_sets_fetched == 2)
    gate.set()
    child.join(10)
    fetching.join(10)
    assert child.exitcode == 0


def _verify_in_child(verifier: TokenVerifier, bearer: str) -> None:
    assert verifier.verify(bearer)


def test_no_thread_to_be_had(authority: FakeAuthority, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = authority.verifier(clock)
    verifier.verify(authority.token())
    clock.pass_by(301)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_more_threads)
        assert verifier.verify(authority.token())
    assert verifier.verify(authority.token())
    eventually(lambda: authority.key_sets_fetched == 2)


def _no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    "issuer",
    [
        "authsec.example.com",
        "ftp://authsec.example.com",
        "https://",
        "https://user:secret@authsec.example.com",
        "https://authsec.example.com?x=1",
        "https://authsec.example.com#x",
        "https://authsec.example.com\\@evil.example.com",
        "https://authsec.example.com:port",
        "https://[::1",
        "https://authsec.example.com/\n",
        "https://authsec.exämple.com",
        "http://authsec.example.com",
        "http://localhost.example.com",
    ],
)
def test_issuers_that_keys_are_not_fetched_from(issuer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenVerifier(issuer, AUDIENCE)
    assert caught.value.reason == "issuer_invalid"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "times", [{"fresh_for": 0}, {"fresh_for": -1}, {"fresh_for": 61, "keep_for": 60}, {"unknown_key_pause": 0.5}]
)
def test_times_that_cannot_be_kept(times: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenVerifier("https://authsec.example.com", AUDIENCE, **times)
    assert caught.value.reason == "key_times_invalid"


def test_a_set_that_is_fresh_for_a_moment_only(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock, fresh_for=2, unknown_key_pause=1)
    verifier.verify(authority.token())
    clock.pass_by(4)
    assert verifier.verify(authority.token())
    assert authority.key_sets_fetched == 2


def test_a_set_that_is_kept_no_longer_than_it_is_fresh(authority: FakeAuthority, clock: FakeClock) -> None:
    verifier = authority.verifier(clock, fresh_for=60, keep_for=60)
    verifier.verify(authority.token())
    clock.pass_by(60)
    assert verifier.verify(authority.token())
    assert authority.key_sets_fetched == 2


def test_plain_http_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for issuer in ("http://localhost:7468", "http://127.0.0.1:7468", "http://[::1]:7468", "https://any.example.com/x"):
        TokenVerifier(issuer, AUDIENCE)
    TokenVerifier("http://authsec.internal", AUDIENCE, allow_http_hosts=["AuthSec.internal"])
    monkeypatch.setenv("AUTHSEC_ALLOW_HTTP_HOSTS", "other.internal, authsec.internal")
    TokenVerifier("http://authsec.internal", AUDIENCE)
    with pytest.raises(ConfigError):
        TokenVerifier("http://authsec.internal", AUDIENCE, allow_http_hosts=[])


def test_a_certificate_file_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="PEM"):
        TokenVerifier("https://authsec.example.com", AUDIENCE, ca_file=str(tmp_path / "none.pem"))
    monkeypatch.setenv("AUTHSEC_CA_FILE", __file__)
    with pytest.raises(ConfigError, match="PEM"):
        TokenVerifier("https://authsec.example.com", AUDIENCE)


def test_only_the_trusted_certificate_counts(tmp_path: Path, clock: FakeClock) -> None:
    ours, theirs = certificate(tmp_path / "ours.pem"), certificate(tmp_path / "theirs.pem")
    with serving(certificate=ours) as authority:
        assert authority.verifier(clock, ca_file=str(ours)).verify(authority.token())
        for ca_file in (None, str(theirs)):
            with pytest.raises(KeysUnavailable, match="certificate is not trusted"):
                authority.verifier(clock, ca_file=ca_file).verify(authority.token())


def test_the_companys_proxy_is_obeyed(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    verifier = TokenVerifier("https://authsec.example.com", AUDIENCE, clock=clock.clock(), **UNFOLLOWED)
    with pytest.raises(KeysUnavailable, match="the proxy of HTTPS_PROXY did not connect"):
        verifier.verify(token())
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1:9")
    clock.pass_by(RETRY_PAUSE)
    with pytest.raises(KeysUnavailable, match="HTTPS_PROXY must be"):
        verifier.verify(token())


def test_an_answer_that_breaks_off(authority: FakeAuthority, clock: FakeClock) -> None:
    authority.pages[JWKS].promises = 10_000
    with pytest.raises(KeysUnavailable, match="the connection broke"):
        authority.verifier(clock).verify(authority.token())


def test_an_issuer_with_a_path(authority: FakeAuthority, clock: FakeClock) -> None:
    issuer = f"{authority.url}/authsec"
    authority.publish({"issuer": issuer, "jwks_uri": f"{authority.url}{JWKS}"}, f"/authsec{METADATA}")
    verifier = TokenVerifier(issuer, AUDIENCE, clock=clock.clock(), **UNFOLLOWED)
    assert verifier.verify(authority.token(iss=issuer))
    assert authority.asked == [f"/authsec{METADATA}", JWKS]
