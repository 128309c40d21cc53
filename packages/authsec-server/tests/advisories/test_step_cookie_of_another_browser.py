"""A code is sent from another browser than the password, without its cookie, or with a cookie that was used.

The cookie of the second step is the only thing that says whose sign-in waits. A form has nothing of it, so another site
cannot finish a sign-in in the browser of a victim.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from authsec_server.accounts.second_step import StepEnded
from pages import get, post
from people import PASSWORD, first_administrator

Entrance = Any


def test_a_second_step_is_used_once(entrance: Entrance) -> None:
    phone, codes = entrance.turn_on(entrance.first())
    cookie = entrance.step()
    assert entrance.second_steps.by_code(cookie, phone.at(entrance.clock.now()), entrance.caller())
    with pytest.raises(StepEnded):
        entrance.second_steps.by_code(cookie, codes[0], entrance.caller())


@pytest.mark.sqlite_suffices
def test_a_recovery_code_that_a_finished_step_brings_is_not_used_up(entrance: Entrance) -> None:
    _, codes = entrance.turn_on(entrance.first())
    cookie = entrance.step()
    assert entrance.second_steps.by_code(cookie, codes[0], entrance.caller())
    with pytest.raises(StepEnded):
        entrance.second_steps.by_code(cookie, codes[1], entrance.caller())
    assert entrance.second_steps.by_code(entrance.step(), codes[1], entrance.caller())


def test_another_browser_cannot_finish_it(house: Callable[..., Any]) -> None:
    its = house()
    door = first_administrator(its)
    page = get(door, "/console/account/second-factor").form().send(current=PASSWORD)
    (secret,) = re.findall(r'data-copy="([A-Z2-7]{32})"', page.html)
    phone = pyotp.TOTP(secret)
    assert page.form().send(code=phone.at(its.clock.now())).status == 200
    its.clock.at += timedelta(seconds=30)
    owner, thief = its.door(), its.door()
    asked = get(owner, "/console/sign-in").form().send(email="ada@example.com", password=PASSWORD)
    code = phone.at(its.clock.now())
    assert get(thief, asked.location).location.startswith("/console/sign-in"), "no form without the cookie"
    assert "Sign in again." in post(thief, "/console/sign-in/code", [("code", code)]).text
    assert get(thief, "/console").status == 303
    headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert owner.post("/console/sign-in/code", data={"code": code}, headers=headers).status_code == 403
    assert asked.follow().form().send(code=code).status == 303, "the owner goes on"
    assert get(owner, "/console").status == 200


def test_the_cookie_is_for_this_server_and_for_no_script(house: Callable[..., Any]) -> None:
    its = house()
    door = first_administrator(its)
    page = get(door, "/console/account/second-factor").form().send(current=PASSWORD)
    (secret,) = re.findall(r'data-copy="([A-Z2-7]{32})"', page.html)
    page.form().send(code=pyotp.TOTP(secret).at(its.clock.now()))
    sent = its.door().post(
        "/console/sign-in",
        data={"email": "ada@example.com", "password": PASSWORD},
        headers={"sec-fetch-site": "same-origin"},
        follow_redirects=False,
    )
    cookie = sent.headers["set-cookie"]
    assert cookie.startswith("authsec-second-step=")
    assert {"HttpOnly", "SameSite=lax", "Max-Age=300", "Path=/"} <= {each.strip() for each in cookie.split(";")}
    assert cookie.partition("=")[2].partition(";")[0] not in sent.headers["location"]
