"""A recovery code is used a second time: somebody finds the list on which the owner crossed the code out."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from authsec_server.failures import Invalid

Entrance = Any


def test_a_recovery_code_is_used_once(entrance: Entrance) -> None:
    _, codes = entrance.turn_on(entrance.first())
    assert entrance.second_steps.by_code(entrance.step(), codes[0], entrance.caller())
    with pytest.raises(Invalid, match="not right"):
        entrance.second_steps.by_code(entrance.step(), codes[0], entrance.caller())
    assert entrance.second_steps.by_code(entrance.step(), codes[1], entrance.caller())


def test_of_those_who_send_it_at_once_one_comes_in(entrance: Entrance) -> None:
    _, codes = entrance.turn_on(entrance.first())
    steps, outcomes, barrier = [entrance.step() for _ in range(4)], list[Any](), threading.Barrier(4)

    def send(cookie: str) -> None:
        barrier.wait(10)
        try:
            outcomes.append(entrance.second_steps.by_code(cookie, codes[0], entrance.caller()))
        except Invalid as refused:
            outcomes.append(refused)

    threads = [threading.Thread(target=send, args=(cookie,)) for cookie in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Invalid) for each in outcomes) == 3
