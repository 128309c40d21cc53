"""When a token is renewed, ridden out or dropped, on clocks that the test holds."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec import (
    AuthenticationError,
    AuthSecError,
    ConfigError,
    DelegationDenied,
    DelegationToken,
    InvalidResponse,
    RateLimited,
    ServerError,
    TransportError,
)
from authsec.cache import TokenCache
from authsec.clock import Clock
from authsec.tokens import TokenRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.wall = 1_800_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.monotonic, wall=lambda: self.wall)


class Source:
    """Stands for the authority: each ask takes the next of `outcomes`, or gives a token with `life`."""

    def __init__(self, life: int = 3600) -> None:
        self.life = life
        self.asked: list[TokenRequest] = []
        self.outcomes: list[DelegationToken | Exception] = []
        self.hold: threading.Event | None = None

    def __call__(self, request: TokenRequest) -> DelegationToken:
        self.asked.append(request)
        number = len(self.asked)
        if self.hold is not None:
            self.hold.wait(10)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or self.token(f"t{number}")

    def token(self, value: str) -> DelegationToken:
        expires_at = datetime.now(UTC) + timedelta(seconds=self.life)
        return DelegationToken(value=value, expires_at=expires_at, expires_in=self.life)


class World:
    def __init__(self, life: int = 3600, *, margin: float = 300, timeout: float = 5) -> None:
        self.time = Time()
        self.source = Source(life)
        self.cache = TokenCache(self.source, clock=self.time.clock, margin=margin, timeout=timeout)

    def get(self, **how: Any) -> str:
        return self.cache.get(**how).value

    def settled(self) -> None:
        """Wait until no request is on its way."""
        for thread in threading.enumerate():
            if thread.name == "authsec-token":
                thread.join(5)

    def renewed_with(self, outcome: Exception | None) -> str:
        """Let a call come into the margin, see its background renewal end so, and return what the call got."""
        self.source.outcomes = [outcome] if outcome else []
        got = self.get()
        self.settled()
        return got


@pytest.fixture
def world() -> World:
    return World()


def unreachable() -> TransportError:
    return TransportError("away", reason="unreachable", retryable=True)


# --- renewal -----------------------------------------------------------------------------------------------------


def test_no_request_before_the_margin(world: World) -> None:
    world.get()
    world.time.pass_by(3299)
    assert world.get() == "t1"
    world.settled()
    assert len(world.source.asked) == 1


def test_a_call_in_the_margin_gets_the_old_token_at_once_and_starts_one_renewal(world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    world.source.hold = threading.Event()
    assert [world.get() for _ in range(50)] == ["t1"] * 50
    world.source.hold.set()
    world.settled()
    assert world.get() == "t2"
    assert len(world.source.asked) == 2


def test_nothing_happens_without_a_call(world: World) -> None:
    before = threading.active_count()
    world.get()
    world.settled()
    world.time.pass_by(100_000)
    time.sleep(0.02)
    assert threading.active_count() == before
    assert len(world.source.asked) == 1


def test_an_ended_token_is_never_handed_out(world: World) -> None:
    world.get()
    world.time.pass_by(3600)
    assert world.get() == "t2"


@pytest.mark.parametrize("life", [1, 2, 10, 60, 599, 600, 3600, 86_400])
def test_two_requests_in_a_hundred_calls_over_one_life(life: int) -> None:
    """A margin in seconds alone would ask at every call when tokens live shorter than it."""
    world = World(life)
    for number in range(100):
        world.get()
        world.settled()
        world.time.pass_by(life / 100)
        if number == 99:
            break
    assert len(world.source.asked) <= 2


def test_a_token_of_two_seconds_is_renewed_at_half_its_life() -> None:
    world = World(2)
    world.get()
    world.time.pass_by(0.999)
    assert world.renewed_with(None) == "t1"
    assert len(world.source.asked) == 1
    world.time.pass_by(0.002)
    assert world.renewed_with(None) == "t1"
    assert world.get() == "t2"
    assert len(world.source.asked) == 2


@given(st.integers(1, 100_000), st.floats(0, 1000), st.lists(st.floats(0, 5000), max_size=30))
@settings(max_examples=examples(50))
def test_no_call_ever_gets_a_token_that_has_ended(life: int, margin: float, pauses: list[float]) -> None:
    world = World(life, margin=margin)
    born: dict[str, float] = {}
    for pause in pauses:
        began = world.time.monotonic
        value = world.get()
        world.settled()
        born.setdefault(value, began)
        assert world.time.monotonic - born[value] < life
        world.time.pass_by(pause)


def test_a_suspended_machine_is_noticed_by_the_wall_clock(world: World) -> None:
    world.get()
    world.time.wall += 3600  # the monotonic clock stood still
    assert world.get() == "t2"


@pytest.mark.parametrize("step", [-3600.0, 3000.0])
def test_a_clock_that_is_set_does_not_prolong_a_life(step: float, world: World) -> None:
    world.get()
    world.time.wall += step
    world.time.pass_by(3600)
    assert world.get() == "t2"


def test_life_counts_from_before_the_request(world: World) -> None:
    """The answer took five seconds, and the token was issued at their beginning."""
    world.source.outcomes = [world.source.token("slow")]
    world.source.hold = threading.Event()
    waiting = threading.Thread(target=world.get)
    waiting.start()
    while not world.source.asked:
        time.sleep(0.001)
    world.time.pass_by(5)
    world.source.hold.set()
    waiting.join()
    world.time.pass_by(3595)
    assert world.get() == "t2"


# --- failures ----------------------------------------------------------------------------------------------------

RIDDEN_OUT = [
    unreachable(),
    ServerError("down", reason="unavailable", status=503, retryable=True),
    RateLimited("slow down", reason="rate_limited", status=429, retryable=True, retry_after=5),
    InvalidResponse("a web page", reason="invalid_response"),
    ConfigError("the key file is broken", reason="credential_broken"),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("failure", RIDDEN_OUT, ids=lambda failure: type(failure).__name__)
def test_a_failing_authority_is_ridden_out_until_the_token_ends(failure: Exception, world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    assert world.renewed_with(failure) == "t1"
    world.time.pass_by(298)
    assert world.renewed_with(failure) == "t1"
    world.time.pass_by(1)
    world.source.outcomes = [failure]
    with pytest.raises(AuthSecError):
        world.get()


@pytest.mark.parametrize("failure", RIDDEN_OUT[:2], ids=lambda failure: failure.reason)
def test_a_failing_authority_is_not_hammered(failure: AuthSecError, world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    asked_at: list[float] = []
    for _ in range(290):  # one call a second
        before = len(world.source.asked)
        assert world.renewed_with(failure) == "t1"
        if len(world.source.asked) > before:
            asked_at.append(world.time.monotonic - 1000 - 3301)
        world.time.pass_by(1)
    assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_back_off_starts_anew_after_a_success(world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    for _ in range(5):
        world.renewed_with(unreachable())
        world.time.pass_by(20)
    world.renewed_with(None)
    assert world.get() == "t7"
    world.time.pass_by(3301)
    world.renewed_with(unreachable())
    world.time.pass_by(1)
    world.renewed_with(None)
    assert world.get() == "t9"


def test_without_a_token_every_call_asks(world: World) -> None:
    world.source.outcomes = [unreachable(), unreachable()]
    for _ in range(2):
        with pytest.raises(TransportError):
            world.get()
    assert world.get() == "t3"


@pytest.mark.parametrize("kind", [RateLimited, ServerError])
def test_a_pause_that_the_authority_asks_for_is_kept(kind: type[Any], world: World) -> None:
    world.source.outcomes = [kind("later", reason="x", retryable=True, retry_after=20)]
    with pytest.raises(kind):
        world.get()
    world.time.pass_by(5)
    for force in (False, True):
        with pytest.raises(kind) as caught:
            world.get(force_refresh=force)
        assert caught.value.retry_after == 15
    assert len(world.source.asked) == 1
    world.time.pass_by(15)
    assert world.get() == "t2"


def test_no_pause_is_longer_than_a_minute(world: World) -> None:
    world.source.outcomes = [RateLimited("later", reason="x", retryable=True, retry_after=1e9)]
    with pytest.raises(RateLimited):
        world.get()
    world.time.pass_by(60)
    assert world.get() == "t2"


def test_an_unexpected_exception_is_reported_without_its_text(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.source.outcomes = [ValueError("the secret")]
    with pytest.raises(AuthSecError, match="failed inside the program \\(ValueError\\)") as caught:
        world.get()
    assert caught.value.reason == "internal_error"
    assert "ValueError at " in caplog.text
    assert "test_cache.py:" in caplog.text
    assert "the secret" not in caplog.text


# --- refusals ----------------------------------------------------------------------------------------------------

REFUSALS = [
    AuthenticationError("who are you", reason="attestation_invalid", status=401),
    DelegationDenied("disabled", reason="client_disabled", status=403),
    DelegationDenied("unknown", reason="no_delegation", status=404),
    DelegationDenied("revoked", reason="delegation_ended", status=410),
]
refusals = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.reason)


@refusals
def test_a_refusal_in_the_background_is_raised_by_the_next_call_and_drops_the_token(
    refusal: AuthSecError, world: World
) -> None:
    world.get()
    world.time.pass_by(3301)
    assert world.renewed_with(refusal) == "t1"
    asked = len(world.source.asked)
    with pytest.raises(type(refusal)) as caught:
        world.get()
    assert caught.value is not refusal
    assert caught.value.reason == refusal.reason
    assert len(world.source.asked) == asked  # at once
    assert world.get() == "t3"  # and then the authority is asked again: it may have changed its mind


def test_old_news_is_not_raised(world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    world.renewed_with(DelegationDenied("disabled", reason="client_disabled"))
    world.time.pass_by(31)
    assert world.get() == "t3"


@refusals
def test_a_refused_forced_refresh_drops_the_token(refusal: AuthSecError, world: World) -> None:
    world.get()
    world.source.outcomes = [refusal, refusal]
    with pytest.raises(type(refusal)):
        world.get(force_refresh=True)
    with pytest.raises(type(refusal)):
        world.get()
    assert len(world.source.asked) == 3


def test_a_failed_forced_refresh_keeps_the_token(world: World) -> None:
    world.get()
    world.source.outcomes = [unreachable()]
    with pytest.raises(TransportError):
        world.get(force_refresh=True)
    assert world.get() == "t1"


def test_a_background_failure_is_logged_and_one_that_is_raised_is_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "authsec")
    world.source.outcomes = [unreachable()]
    with pytest.raises(TransportError):
        world.get()
    assert caplog.text == ""
    world.get()
    world.time.pass_by(3301)
    world.renewed_with(unreachable())
    assert "renewing the delegation token failed (unreachable): away" in caplog.text


# --- waiting -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stuck() -> Iterator[World]:
    """Requests that never end."""
    world = World(timeout=-0.4)  # patience is half a second more
    world.source.hold = hold = threading.Event()
    yield world
    hold.set()


def gives_up(world: World) -> float:
    began = time.monotonic()
    with pytest.raises(TransportError) as caught:
        world.get()
    assert caught.value.reason == "timeout"
    assert caught.value.retryable
    return time.monotonic() - began


def test_everybody_waits_for_a_bounded_time(stuck: World) -> None:
    async def main() -> None:
        await stuck.cache.aget()

    took: list[float] = []
    threads = [threading.Thread(target=lambda: took.append(gives_up(stuck))) for _ in range(5)]
    for thread in threads:
        thread.start()
    with pytest.raises(TransportError, match="in time"):
        asyncio.run(main())
    for thread in threads:
        thread.join()
    assert max(took) < 1
    assert len(stuck.source.asked) == 1


def test_a_request_that_outlives_everybodys_patience_blocks_nobody(stuck: World) -> None:
    gives_up(stuck)
    stuck.time.pass_by(1)
    hold, stuck.source.hold = stuck.source.hold, None
    assert stuck.get() == "t2"
    assert hold is not None
    hold.set()
    stuck.settled()
    assert stuck.get() == "t2"  # what the old request brought is older, and not used


def test_there_are_never_more_than_a_few_of_them(stuck: World) -> None:
    for _ in range(4):
        assert gives_up(stuck) > 0.05
        stuck.time.pass_by(1)
    for _ in range(10):
        assert gives_up(stuck) < 0.05
        stuck.time.pass_by(1)
    assert len(stuck.source.asked) == 4


def test_a_renewal_that_hangs_is_followed_by_another(world: World) -> None:
    world.get()
    world.time.pass_by(3301)
    world.source.hold = hold = threading.Event()
    assert world.get() == "t1"
    world.time.pass_by(6)
    world.source.hold = None
    assert world.get() == "t1"
    while len(world.source.asked) < 3 or world.get() != "t3":
        time.sleep(0.001)
    hold.set()


def test_where_no_thread_can_be_started_the_caller_asks_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the interpreter, and where threads are limited."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert world.get() == "t1"
    world.time.pass_by(3301)
    assert world.get() == "t1"
    assert world.get() == "t2"


# --- size --------------------------------------------------------------------------------------------------------


def test_the_number_of_entries_is_bounded_and_the_oldest_goes(world: World) -> None:
    scopes = [f"a:r{number}" for number in range(128)]
    for scope in scopes:
        world.cache.get(scope)
    world.cache.get(scopes[0])
    world.cache.get()
    assert len(world.cache._entries) == 128
    asked = len(world.source.asked)
    world.cache.get(scopes[0])
    assert len(world.source.asked) == asked
    world.cache.get(scopes[1])
    assert len(world.source.asked) == asked + 1


@pytest.mark.parametrize("names", ["a:one b:two", ["b:two", "a:one"], ("b:two", "a:one", "a:one")])
def test_names_in_any_form_and_order_share_one_token(names: str | list[str], world: World) -> None:
    world.cache.get("a:one b:two")
    for _ in range(3):
        assert world.cache.get(names).value == "t1"


def test_an_invalidated_token_is_not_returned_for_names_in_another_form(world: World) -> None:
    for names in ("a:one b:two", ("b:two", "a:one")):
        assert [world.cache.get(names).value for _ in range(3)] == ["t1"] * 3
    world.cache.invalidate("t1")
    assert world.cache.get(("b:two", "a:one")).value == "t2"
    assert world.cache.get("a:one b:two").value == "t2"


def test_an_entry_with_a_request_on_its_way_is_not_dropped(world: World) -> None:
    world.source.hold = hold = threading.Event()
    got: list[str] = []
    work: Callable[[], None] = lambda: got.append(world.get())  # noqa: E731 - the thread's one line
    waiting = threading.Thread(target=work)
    waiting.start()
    while not world.source.asked:
        time.sleep(0.001)
    world.source.hold = None
    for number in range(200):
        world.cache.get(f"a:r{number}")
    hold.set()
    waiting.join()
    asked = len(world.source.asked)
    assert [world.get()] == got
    assert len(world.source.asked) == asked
