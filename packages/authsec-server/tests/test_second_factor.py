"""The second factor in the console: turn it on with a phone, sign in with a code, lose the phone, turn it off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pages import get, post
from people import PASSWORD, first_administrator, invited
from second_factors import SETTING, phone_of, setup_page, sign_in, turn_on, with_code
from starlette.testclient import TestClient


@pytest.fixture
def its(house: Callable[..., Any]) -> Any:
    """An authority nobody has set up yet."""
    return house()


@pytest.fixture
def door(its: Any) -> TestClient:
    """The browser of its first administrator."""
    return first_administrator(its)


def kinds(its: Any) -> list[str]:
    return [str(each.event.kind) for each in its.events()]


def test_it_is_on_after_a_code_and_signing_in_asks_for_one(its: Any, door: TestClient) -> None:
    phone, codes = turn_on(its, door)
    assert len(set(codes)) == 8
    assert "administrator.second_factor_on" in kinds(its)
    fresh = its.door()
    asked = sign_in(fresh, to="/console/keys")
    assert asked.location == "/console/sign-in/code?next=%2Fconsole%2Fkeys"
    assert get(fresh, "/console/keys").status == 303, "the password alone opens nothing"
    page = asked.follow()
    assert 'autocomplete="one-time-code"' in page.html
    assert 'inputmode="numeric"' in page.html
    code = phone.at(its.clock.now())
    inside = page.form().send(code=f"{code[:3]} {code[3:]}")
    assert (inside.status, inside.location) == (303, "/console/keys")
    assert get(fresh, "/console/keys").status == 200
    assert its.events()[-1].event.detail["second_factor"] == "code"


def test_turning_it_on_ends_the_other_sessions(its: Any, door: TestClient) -> None:
    other = its.door()
    assert sign_in(other).status == 303
    turn_on(its, door)
    assert get(other, "/console").status == 303
    assert get(door, "/console").status == 200


def test_the_password_is_asked_again_before_a_secret_is_shown(door: TestClient) -> None:
    page = get(door, SETTING).form().send(current="not the password")
    assert page.status == 400
    assert "This is not your current password." in page.text
    assert 'class="segno"' not in page.html


def test_a_wrong_first_code_keeps_the_secret_and_turns_nothing_on(its: Any, door: TestClient) -> None:
    page = setup_page(door)
    again = page.form().send(code="000000")
    assert again.status == 400
    assert "This code is not right." in again.text
    assert phone_of(again).secret == phone_of(page).secret
    assert sign_in(its.door()).location == "/console"
    late = again.form()
    its.clock.at += timedelta(minutes=11)
    assert "too old" in late.send(code=phone_of(page).at(its.clock.now())).text


def test_the_picture_needs_no_script_and_no_inline_style(door: TestClient) -> None:
    main = setup_page(door).html.partition("<main")[2]
    assert 'class="segno"' in main
    assert "style=" not in main
    assert "<script" not in main


@pytest.mark.parametrize(("seconds", "status"), [(-30, 303), (30, 303), (-90, 400), (90, 400)])
def test_a_clock_may_differ_by_one_step(its: Any, door: TestClient, seconds: int, status: int) -> None:
    phone, _ = turn_on(its, door)
    its.clock.at += timedelta(minutes=5)
    assert with_code(its, its.door(), phone.at(its.clock.now() + timedelta(seconds=seconds))).status == status


def test_a_recovery_code_signs_in_without_the_phone(its: Any, door: TestClient) -> None:
    _, codes = turn_on(its, door)
    fresh = its.door()
    page = get(fresh, sign_in(fresh, to="/console/keys").follow().links["Use a recovery code"])
    assert "inputmode" not in page.html, "a keypad of digits has no letters"
    assert page.form().send(code="AAAA-AAAA-AAAA-AAAA").form().value("recovery") == "yes"
    assert page.form().send(code=codes[0].lower().replace("-", " ")).location == "/console/keys"
    assert get(fresh, "/console").status == 200
    used = [each.event for each in its.events() if each.event.kind == "administrator.recovery_code_used"]
    assert [each.detail["left"] for each in used] == [7]


def test_turning_it_off_needs_the_password_and_a_code(its: Any, door: TestClient) -> None:
    phone, _ = turn_on(its, door)
    form = get(door, SETTING).form()
    assert form.send(current="not the password", code=phone.at(its.clock.now())).status == 400
    assert form.send(current=PASSWORD, code="000000").status == 400
    assert sign_in(its.door()).location.startswith("/console/sign-in/code")
    done = form.send(current=PASSWORD, code=phone.at(its.clock.now()))
    assert "Your second factor is off." in done.follow().text
    assert sign_in(its.door()).location == "/console"
    assert "administrator.second_factor_off" in kinds(its)


def test_another_administrator_resets_it(its: Any, door: TestClient) -> None:
    theirs = invited(its, door, "operator")
    turn_on(its, theirs)
    home = get(door, "/console/administrators").links["Vic"]
    assert "Second factor On" in get(door, home).text
    page = get(door, home + "/reset-second-factor")
    assert "sign in with the password alone" in page.text
    assert "The second factor is removed" in page.form().send().follow().text
    assert get(theirs, "/console").status == 303, "the sessions have ended"
    assert sign_in(its.door(), "vic@example.com").location == "/console"
    assert "administrator.second_factor_reset" in kinds(its)


def test_nobody_resets_their_own(its: Any, door: TestClient) -> None:
    turn_on(its, door)
    home = get(door, "/console/administrators").links["Ada Admin"]
    page = get(door, home + "/reset-second-factor")
    assert "You cannot reset your own second factor." in page.text
    assert post(door, home + "/reset-second-factor", [("x", "y")]).status == 409


def test_an_operator_resets_nothing(its: Any, door: TestClient) -> None:
    turn_on(its, door)
    theirs = invited(its, door, "operator")
    home = get(door, "/console/administrators").links["Ada Admin"]
    assert get(theirs, home + "/reset-second-factor").status == 403


def test_a_new_password_leaves_the_second_factor_on(its: Any, door: TestClient) -> None:
    theirs = invited(its, door, "operator")
    phone, _ = turn_on(its, theirs)
    home = get(door, "/console/administrators").links["Vic"]
    shown = get(door, home + "/reset").form().send()
    (code,) = re.findall(r"set-up\?code=([\w-]{43})", shown.text)
    fresh = its.door()
    asked = get(fresh, f"/console/set-up?code={code}").form().send(password=PASSWORD, again=PASSWORD)
    assert asked.location == "/console/sign-in/code"
    assert asked.follow().form().send(code=phone.at(its.clock.now())).status == 303
    assert get(fresh, "/console").status == 200


def test_required_leads_to_turning_it_on_and_nowhere_else(house: Callable[..., Any]) -> None:
    its = house(second_factor="required")
    door = first_administrator(its)
    for path in ("/console", "/console/keys", "/console/account", "/console/activity/stream"):
        assert get(door, path).location == SETTING, path
    assert post(door, "/console/roles/new", [("name", "R")]).location == SETTING
    assert "This authority requires a second factor" in get(door, SETTING).text
    turn_on(its, door)
    assert get(door, "/console").status == 200


def test_no_event_and_no_address_has_a_secret_or_a_code(its: Any, door: TestClient) -> None:
    phone, codes = turn_on(its, door)
    code = phone.at(its.clock.now())
    inside = with_code(its, its.door(), code)
    with_code(its, its.door(), code)
    with_code(its, its.door(), codes[0])
    told = json.dumps([[str(each.event), inside.location] for each in its.events()])
    assert all(each not in told for each in (phone.secret, code, *codes))
