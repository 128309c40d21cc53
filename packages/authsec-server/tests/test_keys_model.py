"""A signing key's life, as pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.keys.model import (
    FINAL_STATES,
    JWKS_MAX_AGE,
    PUBLISH_AFTER,
    PUBLISH_AHEAD,
    PUBLISHED,
    KeyState,
    NewKey,
    SigningKey,
    activation_wait,
    key_in,
    keys_to_make,
    may_activate,
    may_be_forgotten,
    rotation_due,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MAX_AGE = timedelta(days=30)


def later(**amount: float) -> datetime:
    return NOW + timedelta(**amount)


def prepared(at: datetime = NOW, kid: str = "a") -> SigningKey:
    return NewKey(kid=kid, public_jwk={"kty": "RSA"}, sealed=b"sealed").prepared(at)


def test_a_life() -> None:
    key = prepared()
    assert (key.state, key.created_at) == (KeyState.PREPARED, NOW)
    key = key.activated(later(hours=1))
    assert (key.state, key.activated_at) == (KeyState.ACTIVE, later(hours=1))
    key = key.retired(later(days=30), DAY)
    assert (key.state, key.retired_at) == (KeyState.RETIRED, later(days=30))
    assert key.publish_until == later(days=31) + PUBLISH_AFTER
    assert key.gone().state is KeyState.GONE
    assert set(KeyState) == PUBLISHED | FINAL_STATES
    assert not PUBLISHED & FINAL_STATES


def test_a_revoked_key_is_published_no_more_whatever_it_was() -> None:
    active = prepared().activated(NOW)
    for key in (prepared(), active, active.retired(NOW, DAY), active.retired(NOW, DAY).gone()):
        revoked = key.revoked(later(hours=1))
        assert (revoked.state, revoked.publish_until) == (KeyState.REVOKED, later(hours=1))
        assert revoked.retired_at == (key.retired_at or later(hours=1))


def test_a_key_is_published_for_longer_than_it_may_be_cached_before_it_signs() -> None:
    assert PUBLISH_AHEAD > JWKS_MAX_AGE


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(minutes=20)))
def test_a_prepared_key_waits_until_every_verifier_has_seen_it(age: timedelta) -> None:
    key, now = prepared(), NOW + age
    assert may_activate(key, now) == (age >= PUBLISH_AHEAD)
    assert may_activate(key, now, force=True)
    assert may_activate(key, now + activation_wait(key, now))
    assert activation_wait(key, now) >= timedelta(0)


def test_a_clock_that_was_put_back_makes_a_key_wait_longer_never_shorter() -> None:
    assert activation_wait(prepared(), later(hours=-1)) == PUBLISH_AHEAD + timedelta(hours=1)


@pytest.mark.parametrize(("age", "due"), [(0, False), (29.9, False), (30, True), (400, True)])
def test_rotation_by_age(age: float, due: bool) -> None:
    assert rotation_due(prepared().activated(NOW), later(days=age), MAX_AGE) is due


def test_an_active_key_of_unknown_age_is_due() -> None:
    assert rotation_due(prepared(), NOW, MAX_AGE)


@given(lifetime=st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=7)))
def test_a_retired_key_outlives_every_token_that_it_signed(lifetime: timedelta) -> None:
    key = prepared().activated(NOW).retired(later(days=30), lifetime)
    last_token_dead = later(days=30) + lifetime
    assert not may_be_forgotten(key, last_token_dead)
    assert not may_be_forgotten(key, last_token_dead + PUBLISH_AFTER - timedelta(seconds=1))
    assert may_be_forgotten(key, last_token_dead + PUBLISH_AFTER)


def test_only_a_retired_key_is_forgotten() -> None:
    key = prepared()
    for other in (key, key.activated(NOW), key.activated(NOW).retired(NOW, DAY).gone()):
        assert not may_be_forgotten(other, later(days=4000))


def test_how_many_keys_it_takes() -> None:
    active, waiting = prepared(kid="a").activated(NOW), prepared(kid="b")
    assert keys_to_make([], NOW, MAX_AGE) == 2
    assert keys_to_make([waiting], NOW, MAX_AGE) == 1
    assert keys_to_make([active], NOW, MAX_AGE) == 1
    assert keys_to_make([active, waiting], NOW, MAX_AGE) == 0
    assert keys_to_make([active, waiting], later(days=30), MAX_AGE) == 1
    too_young = prepared(later(days=30), kid="c")
    assert keys_to_make([active, too_young], later(days=30), MAX_AGE) == 0


def test_the_one_key_in_a_state() -> None:
    active, waiting = prepared(kid="a").activated(NOW), prepared(kid="b")
    assert key_in([waiting, active], KeyState.ACTIVE) == active
    assert key_in([waiting], KeyState.ACTIVE) is None


def test_a_new_key_does_not_show_what_is_sealed() -> None:
    assert "sealed" not in repr(NewKey(kid="a", public_jwk={}, sealed=b"secret"))
