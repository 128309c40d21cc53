"""Somebody who has the password guesses the six digits: fast, from many addresses, at several servers.

The database counts the guesses of an account, so a second server is no second try. The limit must not keep the owner
out: a recovery code signs the owner in meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts.model.second_factor import MAX_WRONG
from authsec_server.accounts.second_step import SecondSteps
from authsec_server.accounts.sign_in import FAILURES_A_MINUTE, SignIn
from authsec_server.failures import Invalid
from authsec_server.web.errors import TooOften

Entrance = Any


def guess(entrance: Entrance, cookie: str, address: str, code: str = "000000", steps: Any = None) -> str:
    try:
        (steps or entrance.second_steps).by_code(cookie, code, entrance.caller(address))
    except Invalid:
        return "wrong"
    except TooOften:
        return "limited"
    return "in"


def another_server(entrance: Entrance) -> SecondSteps:
    """A second server of the same database, which has seen no guess."""
    one = entrance.second_steps
    its = {"now": entrance.clock.now, "token_bytes": one._token_bytes}
    sign_in = SignIn(entrance.database, monotonic=entrance.clock.monotonic, hashing=entrance.sign_in._hashing, **its)
    return SecondSteps(entrance.database, sign_in, one._sealing, **its)


def test_two_servers_have_one_limit(entrance: Entrance) -> None:
    phone, codes = entrance.turn_on(entrance.first())
    cookie, second = entrance.step(), another_server(entrance)
    answers = [
        guess(entrance, cookie, f"203.0.113.{number}", steps=second if number % 2 else None)
        for number in range(MAX_WRONG + 3)
    ]
    assert answers == ["wrong"] * MAX_WRONG + ["limited"] * 3
    right = phone.at(entrance.clock.now())
    assert guess(entrance, cookie, "203.0.113.99", right) == "limited", "a lucky guess comes too late"
    assert guess(entrance, cookie, "192.0.2.1", codes[0]) == "in", "the owner is not locked out"
    assert guess(entrance, entrance.step(), "192.0.2.1", right) == "in", "and the count begins anew"


@pytest.mark.sqlite_suffices
def test_the_limit_ends_after_an_hour(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    cookie = entrance.step()
    for number in range(MAX_WRONG):
        guess(entrance, cookie, f"203.0.113.{number}")
    entrance.clock.at += timedelta(minutes=59)
    assert guess(entrance, entrance.step(), "192.0.2.1", phone.at(entrance.clock.now())) == "limited"
    entrance.clock.at += timedelta(minutes=1)
    assert guess(entrance, entrance.step(), "192.0.2.1", phone.at(entrance.clock.now())) == "in"


@pytest.mark.sqlite_suffices
def test_from_one_address_guesses_of_recovery_codes_are_limited(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    cookie = entrance.step()
    answers = [guess(entrance, cookie, "203.0.113.1", "AAAA-BBBB-CCCC-DDDD") for _ in range(FAILURES_A_MINUTE + 2)]
    assert answers == ["wrong"] * FAILURES_A_MINUTE + ["limited"] * 2


@pytest.mark.sqlite_suffices
def test_every_guess_is_counted(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    cookie = entrance.step()
    for _ in range(MAX_WRONG + 2):
        guess(entrance, cookie, "203.0.113.1")
    counted = {
        each.event.reason: (each.count, each.event.subject.name) for each in entrance.events() if each.event.reason
    }
    assert counted == {"wrong_code": (MAX_WRONG, "Ann"), "rate_limited": (2, "Ann")}
