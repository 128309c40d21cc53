"""Somebody sees a code of the second factor, and sends it again within its 90 seconds (RFC 6238 section 5.2)."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.failures import Invalid

Entrance = Any


def test_a_code_is_accepted_once(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    code = phone.at(entrance.clock.now())
    assert entrance.second_steps.by_code(entrance.step(), code, entrance.caller())
    with pytest.raises(Invalid, match="already used"):
        entrance.second_steps.by_code(entrance.step(), code, entrance.caller("203.0.113.1"))


@pytest.mark.sqlite_suffices
def test_an_earlier_code_is_refused_after_a_later_one(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    entrance.clock.at += timedelta(minutes=5)
    earlier, later = phone.at(entrance.clock.now()), phone.at(entrance.clock.now() + timedelta(seconds=30))
    assert entrance.second_steps.by_code(entrance.step(), later, entrance.caller())
    with pytest.raises(Invalid, match="already used"):
        entrance.second_steps.by_code(entrance.step(), earlier, entrance.caller())


@pytest.mark.sqlite_suffices
def test_the_code_that_turned_it_on_signs_nobody_in(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    seen = phone.at(entrance.clock.now() - timedelta(seconds=30))
    with pytest.raises(Invalid, match="already used"):
        entrance.second_steps.by_code(entrance.step(), seen, entrance.caller())


def test_of_those_who_send_it_at_once_one_comes_in(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    code, steps, outcomes = phone.at(entrance.clock.now()), [entrance.step() for _ in range(4)], list[Any]()
    barrier = threading.Barrier(4)

    def send(cookie: str) -> None:
        barrier.wait(10)
        try:
            outcomes.append(entrance.second_steps.by_code(cookie, code, entrance.caller()))
        except Invalid as refused:
            outcomes.append(refused)

    threads = [threading.Thread(target=send, args=(cookie,)) for cookie in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Invalid) for each in outcomes) == 3
