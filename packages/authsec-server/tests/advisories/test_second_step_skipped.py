"""Somebody who has the password, or a link to a password, goes on without the code.

Nothing before the right password shows whether an account has a second factor.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.accounts.second_factor import SecondStep
from authsec_server.accounts.second_step import StepEnded
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR
from authsec_server.web.errors import Unauthenticated

pytestmark = pytest.mark.sqlite_suffices
Entrance = Any


def test_the_cookie_of_the_first_step_is_no_session_and_no_link(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    cookie = entrance.step()
    with pytest.raises(Unauthenticated):
        entrance.principal(cookie)
    for use in (
        lambda: entrance.sign_in.by_link(cookie, entrance.caller()),
        lambda: entrance.sign_in.set_password(cookie, password="another one entirely", caller=entrance.caller()),
    ):
        with pytest.raises(Conflict, match="not from this authority"):
            use()
    assert not entrance.sign_in.find_link(cookie).open


def test_every_local_way_in_asks_for_the_code(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    operator, caller = entrance.act(LOCAL_OPERATOR), entrance.caller()
    link = entrance.database.change(lambda tx: administrators.for_a_sign_in(tx, operator, "ann@example.com"))
    assert isinstance(entrance.sign_in.by_link(link.code, caller), SecondStep)
    link = entrance.database.change(lambda tx: administrators.for_a_password(tx, operator, "ann@example.com"))
    step = entrance.sign_in.set_password(link.code, password=entrance.password, caller=caller)
    assert isinstance(step, SecondStep)
    assert isinstance(entrance.sign_in.by_password("ann@example.com", entrance.password, caller), SecondStep)


def test_the_second_step_ends_after_five_minutes(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    cookie = entrance.step()
    entrance.clock.at += timedelta(minutes=5)
    with pytest.raises(StepEnded):
        entrance.second_steps.by_code(cookie, phone.at(entrance.clock.now()), entrance.caller())


def test_what_ends_a_password_ends_the_second_step(entrance: Entrance) -> None:
    session = entrance.first()
    phone, _ = entrance.turn_on(session)
    cookie = entrance.step()
    entrance.sign_in.change_password(
        entrance.act(session).principal,
        current=entrance.password,
        new="another one entirely",
        caller=entrance.caller(),
    )
    with pytest.raises(StepEnded):
        entrance.second_steps.by_code(cookie, phone.at(entrance.clock.now()), entrance.caller())


def test_a_wrong_password_shows_nothing_of_a_second_factor(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    entrance.another("bob@example.com")
    said = set()
    for email in ("ann@example.com", "bob@example.com", "nobody@example.com"):
        with pytest.raises(Unauthenticated) as refused:
            entrance.sign_in.by_password(email, "wrong wrong wrong", entrance.caller())
        said.add((type(refused.value), refused.value.message))
    assert len(said) == 1
