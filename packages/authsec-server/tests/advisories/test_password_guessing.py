"""Somebody guesses an administrator's password: fast, from many addresses, or all at once.

Guesses are limited by network and by account, and charged before they are checked. The limit must not be the weapon:
whoever holds the right password comes in from where they came before, and links work meanwhile.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.sign_in import FAILURES_A_MINUTE, GUESSES_A_MINUTE
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR
from authsec_server.web.errors import TooOften, Unauthenticated

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any


def guess(entrance: Entrance, address: str, email: str = "ann@example.com", password: str = "wrong") -> str:
    try:
        entrance.sign_in.by_password(email, password, entrance.caller(address))
    except Unauthenticated:
        return "wrong"
    except TooOften as refused:
        return "limited" if 0 < refused.retry_after <= 60 else "limited for too long"
    return "in"


def test_from_one_address_at_many_accounts(entrance: Entrance) -> None:
    entrance.first()
    answers = [guess(entrance, "203.0.113.1", f"a{number}@example.com") for number in range(FAILURES_A_MINUTE + 3)]
    assert answers == ["wrong"] * FAILURES_A_MINUTE + ["limited"] * 3
    assert guess(entrance, "203.0.113.2", "a@example.com") == "wrong"


def test_a_whole_ipv6_network_is_one_address(entrance: Entrance) -> None:
    entrance.first()
    for number in range(FAILURES_A_MINUTE):
        assert guess(entrance, f"2001:db8::{number:x}", f"a{number}@example.com") == "wrong"
    assert guess(entrance, "2001:db8::ffff", "b@example.com") == "limited"
    assert guess(entrance, "2001:db8:0:1::1", "b@example.com") == "wrong"


def test_from_many_addresses_at_one_account(entrance: Entrance) -> None:
    entrance.first()
    answers = [guess(entrance, f"203.0.113.{number}") for number in range(GUESSES_A_MINUTE + 3)]
    assert answers == ["wrong"] * GUESSES_A_MINUTE + ["limited"] * 3
    assert guess(entrance, "203.0.113.99", "ANN@example.com ") == "limited", "however it is written"
    assert guess(entrance, "203.0.113.99", password=entrance.password) == "limited"
    entrance.clock.at += timedelta(seconds=6)
    assert guess(entrance, "203.0.113.99", password=entrance.password) == "in", "nobody is locked out for good"


def test_guessing_does_not_keep_the_owner_out(entrance: Entrance) -> None:
    entrance.first()
    for number in range(GUESSES_A_MINUTE + 3):
        guess(entrance, f"203.0.113.{number}")
    assert guess(entrance, "192.0.2.1", password=entrance.password) == "in", "where Ann has been before"
    operator = entrance.act(LOCAL_OPERATOR)
    link = entrance.database.change(lambda tx: administrators.for_a_sign_in(tx, operator, "ann@example.com"))
    assert entrance.sign_in.by_link(link.code, entrance.caller("203.0.113.1"))


def test_where_the_owner_has_been_is_limited_too(entrance: Entrance) -> None:
    entrance.first()
    answers = [guess(entrance, "192.0.2.1") for _ in range(GUESSES_A_MINUTE + 3)]
    assert answers == ["wrong"] * GUESSES_A_MINUTE + ["limited"] * 3


def test_who_is_right_is_never_limited(entrance: Entrance) -> None:
    entrance.first()
    assert {guess(entrance, "203.0.113.1", password=entrance.password) for _ in range(30)} == {"in"}


@pytest.mark.sqlite_suffices
def test_all_at_once(entrance: Entrance) -> None:
    """Forty that arrive before the first is checked are not one."""
    entrance.first()
    gate, checked = threading.Event(), []

    class Slow:
        def verify(self, _hash: str | None, typed: str) -> bool:
            checked.append(typed)
            gate.wait(10)
            return False

    entrance.sign_in._hashing = Slow()
    threads = [threading.Thread(target=guess, args=(entrance, f"203.0.113.{number}")) for number in range(40)]
    for thread in threads:
        thread.start()
    while sum(thread.is_alive() for thread in threads) > GUESSES_A_MINUTE:
        threads[0].join(0.01)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(checked) == GUESSES_A_MINUTE


def test_every_guess_is_counted(entrance: Entrance) -> None:
    entrance.first()
    for _ in range(GUESSES_A_MINUTE + 3):
        guess(entrance, "203.0.113.1")
    counted = {each.event.reason: (each.count, each.event.subject) for each in entrance.events() if each.event.reason}
    assert {reason: count for reason, (count, _) in counted.items()} == {
        "wrong_password": GUESSES_A_MINUTE,
        "rate_limited": 3,
    }
    assert {subject.name for _, subject in counted.values()} == {"Ann"}


def test_trying_links_is_limited_and_a_right_one_is_not(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    for number in range(FAILURES_A_MINUTE):
        with pytest.raises(Conflict):
            entrance.sign_in.by_link(f"{number:043}", entrance.caller("203.0.113.1"))
    with pytest.raises(TooOften):
        entrance.sign_in.by_link("A" * 43, entrance.caller("203.0.113.1"))
    assert entrance.sign_in.set_up_first(
        link.code,
        email="ann@example.com",
        name="Ann",
        password=entrance.password,
        caller=entrance.caller("203.0.113.1"),
    )
