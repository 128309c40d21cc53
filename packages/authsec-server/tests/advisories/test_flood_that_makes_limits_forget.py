"""Somebody at the limit of an account floods the limits with made-up ones, until theirs is forgotten, and guesses on.

What limits keep is bounded, or the flood would take the memory. When it is full a new name is refused, and none that
still counts is forgotten for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts.sign_in import GUESSES_A_MINUTE, Guess, Guesses
from authsec_server.web.errors import TooOften, Unauthenticated
from authsec_server.web.throttle import MAX_KEYS

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any


def test_the_limit_of_an_account_outlasts_a_flood_of_others(entrance: Entrance) -> None:
    entrance.first()
    for number in range(GUESSES_A_MINUTE):
        with pytest.raises(Unauthenticated):
            entrance.sign_in.by_password("ann@example.com", "wrong", entrance.caller(f"203.0.113.{number}"))
    guesses: Guesses = entrance.sign_in.guesses
    for number in range(MAX_KEYS + 100):  # from as many networks as an IPv6 allocation has, at as many accounts
        guesses.charge(Guess(network=f"network {number}", account=f"account {number}"))
    with pytest.raises(TooOften):
        entrance.sign_in.by_password("ann@example.com", "wrong", entrance.caller("203.0.113.99"))
    with pytest.raises(TooOften):
        entrance.sign_in.by_password("nobody@example.com", "wrong", entrance.caller("203.0.113.99"))
    entrance.clock.at += timedelta(minutes=1)
    assert entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller("203.0.113.99"))
