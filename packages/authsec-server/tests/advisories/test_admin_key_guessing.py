"""Somebody tries admin keys, fast, and from as many addresses as they can make up.

A key has 256 random bits: guessing is hopeless, and the limit on failures only keeps it cheap. So the limit must not
be the weapon: whoever holds the right key comes in from the same address.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from authsec_server.accounts.authentication import FAILURES_A_MINUTE

PATH = "/authsec/api/v1/keys"


def admin_key(house: Callable[..., Any]) -> dict[str, str]:
    made = house(local_operator=True).door().post("/authsec/api/v1/admin-keys", json={"name": "ops", "role": "admin"})
    return {"Authorization": f"Bearer {made.json()['key']}"}


def guess(door: Any, number: int, **headers: str) -> int:
    status: int = door.get(PATH, headers={"Authorization": f"Bearer authsec_{number:043}", **headers}).status_code
    return status


def test_guesses_are_limited_by_address(house: Callable[..., Any]) -> None:
    its = house()
    door = its.door("192.0.2.1")
    assert [guess(door, number) for number in range(FAILURES_A_MINUTE + 5)] == [401] * FAILURES_A_MINUTE + [429] * 5
    refused = door.get(PATH)
    assert (refused.status_code, refused.json()["reason"], refused.json()["retryable"]) == (429, "rate_limited", True)
    its.clock.at += timedelta(seconds=int(refused.headers["Retry-After"]))
    assert guess(door, 0) == 401


def test_guessing_does_not_keep_the_administrator_out(house: Callable[..., Any]) -> None:
    """Behind a proxy all callers may share an address: a stranger must not be able to prevent a revocation."""
    right, its = admin_key(house), house()
    door = its.door("192.0.2.1")
    for number in range(FAILURES_A_MINUTE + 5):
        guess(door, number)
    assert door.get(PATH, headers=right).status_code == 200


def test_every_guess_is_counted(house: Callable[..., Any]) -> None:
    its = house()
    door = its.door("192.0.2.1")
    for number in range(FAILURES_A_MINUTE + 5):
        guess(door, number)
    counted = {recorded.event.reason: recorded.count for recorded in its.events() if recorded.event.reason}
    assert counted == {"admin_key_unknown": FAILURES_A_MINUTE, "rate_limited": 5}


def test_made_up_addresses_do_not_help(house: Callable[..., Any]) -> None:
    its = house()
    door = its.door("192.0.2.1")
    for number in range(FAILURES_A_MINUTE):
        assert guess(door, number, **{"X-Forwarded-For": f"203.0.113.{number}"}) == 401
    assert guess(door, 99, **{"X-Forwarded-For": "203.0.113.99"}) == 429
    for number in range(FAILURES_A_MINUTE):  # one subscriber commands a whole /64
        assert guess(its.door(f"2001:db8::{number:x}"), number) == 401
    assert guess(its.door("2001:db8::ffff"), 99) == 429
    assert guess(its.door("2001:db8:0:1::1"), 99) == 401
