"""The rate limiter: never more than the rate and one burst, and who waits as long as told gets in."""

from __future__ import annotations

import pytest
from authsec_server.web.errors import TooOften
from authsec_server.web.request_context import address_of, limit_key
from authsec_server.web.throttle import Limiter, Recently, Throttle
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 600), st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=300))
def test_no_minute_holds_more_than_a_burst_and_the_rate(per_minute: int, gaps: list[float]) -> None:
    limiter, now, admitted = Limiter(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        if limiter.charge("key", now) == 0.0:
            admitted.append(now)
    for index, begin in enumerate(admitted):
        within = [at for at in admitted[index:] if at <= begin + 60]
        assert len(within) <= 2 * per_minute, "a burst and what the minute refills"


@given(st.integers(1, 600), st.integers(1, 700))
def test_who_waits_as_long_as_told_gets_in(per_minute: int, burst: int) -> None:
    limiter = Limiter(per_minute)
    waits = [limiter.charge("key", 0.0) for _ in range(burst)]
    assert [wait == 0.0 for wait in waits] == [index < per_minute for index in range(burst)]
    if waits[-1]:
        assert limiter.charge("key", waits[-1] * 1.0001) == 0.0


def test_keys_do_not_share_a_limit() -> None:
    limiter = Limiter(1)
    assert limiter.charge("a", 0.0) == 0.0
    assert limiter.charge("b", 0.0) == 0.0
    assert limiter.charge("a", 0.0) > 0


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.0, 0.5, 5.0, 40.0])), min_size=20, max_size=100),
    st.integers(1, 3),
)
def test_with_no_room_for_more_keys_it_refuses_no_less_than_with_room(
    events: list[tuple[int, float]], most: int
) -> None:
    """Whatever others do, nobody gets more than they would alone; and no more keys are kept than there is room for."""
    crowded, roomy, now = Limiter(most, max_keys=4), Limiter(most), 0.0
    for number, gap in events:
        now += gap
        key = str(number)
        assert crowded.wait(key, now) >= roomy.wait(key, now)
        if crowded.charge(key, now) == 0.0:
            assert roomy.charge(key, now) == 0.0
        assert len(crowded._arrivals) <= 4


def test_room_is_made_as_soon_as_keys_no_longer_matter() -> None:
    limiter = Limiter(60, max_keys=3)
    assert [limiter.charge(key, 0.0) for key in "abc"] == [0.0] * 3
    wait = limiter.charge("d", 0.0)
    assert 0 < wait <= 1
    assert limiter.charge("a", 0.5) == 0.0, "whoever is known is counted on"
    assert limiter.charge("d", 1.0) == 0.0
    assert (limiter.charge("e", 1.0), limiter.charge("f", 1.0) > 0) == (0.0, True)


def test_a_request_beyond_the_limit_is_refused_with_the_time_to_wait_and_counted() -> None:
    clock, refused = [0.0], []
    throttle = Throttle(2, "Too many.", seconds=60, monotonic=lambda: clock[0])
    for _ in range(2):
        throttle.charge("key", count_refusal=lambda: refused.append("within"))
    with pytest.raises(TooOften) as raised:
        throttle.charge("key", count_refusal=lambda: refused.append("beyond"))
    assert (raised.value.message, raised.value.retry_after, refused) == ("Too many.", 30.0, ["beyond"])
    clock[0] += raised.value.retry_after
    throttle.charge("key")


def test_a_charge_that_is_given_back_limits_nobody() -> None:
    throttle = Throttle(1, "Too many.", monotonic=lambda: 0.0)
    throttle.charge("key")
    throttle.refund("key")
    throttle.charge("key")
    with pytest.raises(TooOften):
        throttle.charge("key")


def test_a_refusal_that_cannot_be_counted_raises_the_error_of_the_count() -> None:
    throttle = Throttle(1, "Too many.", monotonic=lambda: 0.0)
    throttle.charge("key")

    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        throttle.charge("key", count_refusal=fail)


def test_what_is_forgotten_is_done_once_too_often_and_never_too_seldom() -> None:
    recently = Recently(max_keys=2)
    for key in "abc":
        assert not recently(key, 0.0)
        recently.done(key, 0.0)
    assert [recently(key, 59.9) for key in "abc"] == [False, True, True]
    assert not recently("c", 60.0)


def scope(peer: str, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 1), "headers": headers}


def test_a_forwarded_address_counts_only_from_a_trusted_proxy() -> None:
    assert address_of(scope("198.51.100.1", "203.0.113.9"), ()) == "198.51.100.1"
    assert address_of(scope("10.0.0.1", "203.0.113.9"), ("10.0.0.0/8",)) == "203.0.113.9"


def test_what_a_caller_wrote_itself_does_not_count() -> None:
    trusted = ("10.0.0.0/8",)
    assert address_of(scope("10.0.0.1", "1.2.3.4, 203.0.113.9"), trusted) == "203.0.113.9"
    assert address_of(scope("10.0.0.1", "1.2.3.4", "203.0.113.9, 10.0.0.2"), trusted) == "203.0.113.9"
    assert address_of(scope("10.0.0.1", "nonsense"), trusted) == "10.0.0.1"
    assert address_of(scope("10.0.0.1", "1.2.3.4, nonsense"), trusted) == "10.0.0.1"


def test_an_ipv4_address_is_one_address_however_it_is_written() -> None:
    assert address_of(scope("::ffff:203.0.113.9"), ()) == "203.0.113.9"


def test_a_subscriber_counts_once() -> None:
    assert limit_key("2001:db8::1") == limit_key("2001:db8::ffff:1")
    assert limit_key("2001:db8:0:1::1") != limit_key("2001:db8::1")
    assert limit_key("203.0.113.9") == "203.0.113.9"
    assert limit_key("") == ""


def test_the_zone_of_an_address_is_not_kept() -> None:
    """It can be of any length, and columns and rows are not (RFC 4007 section 11)."""
    assert address_of(scope("10.0.0.1", "fe80::1%" + "a" * 500), ("10.0.0.0/8",)) == "fe80::1"
