"""Coming in and going out: set-up links, passwords, sessions, one's account, administrators; through the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from long_runs import some_of, some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
PASSWORD = "correct horse battery staple"
MARKUP = "<script>alert(1)</script>\"'&"
ADA = {"name": "Ada Admin", "email": "ada@example.com", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority that people sign in to."""
    return house()


def set_up_link(its: House) -> str:
    return f"/console/set-up?code={its.authority.sign_in.first_link().code}"


def first_administrator(its: House, **changes: str) -> TestClient:
    """The browser of the first administrator, who has just come in."""
    door = its.door()
    assert get(door, set_up_link(its)).form().send(**ADA | changes).status == 303
    return door


def invited(door: TestClient, its: House, **whom: str) -> TestClient:
    """The browser of somebody whom `door`'s administrator invited, and who has chosen a password."""
    shown = get(door, "/console/administrators/invite").form().send(**whom)
    assert shown.status == 200, shown.text
    (link,) = [word for word in shown.text.split() if "/console/set-up?code=" in word]
    theirs = its.door()
    assert (
        get(theirs, urlsplit(link).path + "?" + urlsplit(link).query)
        .form()
        .send(password=PASSWORD, again=PASSWORD)
        .status
        == 303
    )
    return theirs


def sign_in(door: TestClient, email: str = "ada@example.com", password: str = PASSWORD, **more: str) -> Page:
    return get(door, "/console/sign-in").form("/console/sign-in").send(email=email, password=password, **more)


def test_nobody_sees_a_page_before_signing_in(opened: House) -> None:
    door = opened.door()
    for path in ("/console", "/console/clients", "/console/activity/stream", "/console/settings", "/console/account"):
        answer = get(door, path)
        assert (answer.status, urlsplit(answer.location).path) == (303, "/console/sign-in"), path


def test_the_first_administrator_is_set_up_and_is_in(opened: House) -> None:
    door = opened.door()
    page = get(door, set_up_link(opened))
    assert "first administrator" in page.text
    inside = page.form().send(**ADA).follow()
    assert inside.status == 200
    assert "Ada Admin" in inside.text
    assert "You are signed in." in inside.text
    kinds = [str(each.event.kind) for each in opened.events()]
    assert "administrator.set_up" in kinds
    assert "admin.sign_in" in kinds


@pytest.mark.parametrize(
    ("changes", "said"),
    some_rows_of(
        [
            ({"again": "something else entirely"}, "The two passwords differ."),
            ({"password": "short", "again": "short"}, "12"),
            ({"email": "nobody"}, "e-mail"),
            ({"name": ""}, "Name must not be empty."),
            ({"name": "x" * 121}, "1 to 120 characters"),
        ]
    ),
)
def test_what_is_wrong_with_a_set_up_is_said_and_the_rest_is_kept(
    opened: House, changes: dict[str, str], said: str
) -> None:
    page = get(opened.door(), set_up_link(opened)).form().send(**ADA | changes)
    assert page.status == 400
    assert said in page.text
    kept = ADA | changes
    assert page.form().value("name") == kept["name"]
    assert page.form().value("email") == kept["email"]
    assert page.form().value("password") == ""
    assert page.form().send(**ADA).status == 303  # the link is not used up by a mistake


def test_a_set_up_link_works_once(opened: House) -> None:
    link = set_up_link(opened)
    late = get(opened.door(), link)
    assert late.form().send(**ADA).status == 303
    assert late.form().send(**ADA | {"email": "eve@example.com"}).status == 410
    assert get(opened.door(), link).status == 410


def test_the_sign_in_page_has_commands_for_the_data_of_this_server(opened: House) -> None:
    its_data = "--data DIR"  # the folder names a user of the machine
    assert f"run uv run authsec admin setup-url {its_data} and open" in get(opened.door(), "/console/sign-in").text
    first_administrator(opened)
    page = get(opened.door(), "/console/sign-in")
    assert f"uv run authsec admin setup-url --email you@example.com {its_data}" in page.text


def test_an_unknown_link_is_no_way_in(opened: House) -> None:
    for code in ("", "x", "A" * 43, MARKUP):
        page = get(opened.door(), f"/console/set-up?code={code}")
        assert page.status == 410
        assert "authsec admin setup-url --data DIR creates one." in page.text


def test_signing_in_leads_to_where_one_wanted_to_go(opened: House) -> None:
    first_administrator(opened)
    door = opened.door()
    away = get(door, "/console/keys?x=1")
    page = away.follow()
    assert (
        page.form("/console/sign-in").send(email="ada@example.com", password=PASSWORD).location == "/console/keys?x=1"
    )


@pytest.mark.parametrize("password", ["wrong wrong wrong", "", PASSWORD + " "])
def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(opened: House, password: str) -> None:
    first_administrator(opened)
    answers = [sign_in(opened.door(), email, password) for email in ("ada@example.com", "nobody@example.com")]
    assert [each.status for each in answers] == [400, 400]
    texts = [each.html.replace("ada@", "").replace("nobody@", "") for each in answers]
    assert texts[0] == texts[1]
    assert answers[0].form("/console/sign-in").value("email") == "ada@example.com"


def test_signing_out_ends_the_session_itself(opened: House) -> None:
    door = first_administrator(opened)
    cookie = door.cookies.get("authsec-session-7468")
    assert cookie
    out = get(door, "/console/keys").form("/console/sign-out").send()
    assert urlsplit(out.location).path == "/console/sign-in"
    assert door.cookies.get("authsec-session-7468") is None
    thief = opened.door()
    thief.cookies.set("authsec-session-7468", cookie)
    assert get(thief, "/console").status == 303


def test_a_session_ends_by_disuse_and_in_any_case(opened: House) -> None:
    door = first_administrator(opened)
    for _ in range(11):
        opened.clock.at += timedelta(minutes=59)
        assert get(door, "/console/keys").status == 200
    opened.clock.at += timedelta(minutes=61)
    assert get(door, "/console/keys").status == 303
    sign_in(door)
    for _ in range(12):
        opened.clock.at += timedelta(minutes=59)
        get(door, "/console/keys")
    opened.clock.at += timedelta(minutes=13)
    assert get(door, "/console/keys").status == 303


def test_ones_own_password_is_changed_and_the_other_sessions_end(opened: House) -> None:
    door = first_administrator(opened)
    elsewhere = opened.door()
    sign_in(elsewhere)
    form = get(door, "/console/account").form("/console/account/password")
    wrong = form.send(current="not the one", new="another long phrase", again="another long phrase")
    assert wrong.status == 400
    assert "current password" in wrong.text
    assert form.send(current=PASSWORD, new="another long phrase", again="other").status == 400
    assert form.send(current=PASSWORD, new="another long phrase", again="another long phrase").status == 303
    assert get(elsewhere, "/console/keys").status == 303
    assert get(door, "/console/keys").status == 200
    assert sign_in(opened.door()).status == 400
    assert sign_in(opened.door(), password="another long phrase").status == 303


def test_one_sees_where_one_is_signed_in_and_ends_it(opened: House) -> None:
    door = first_administrator(opened)
    elsewhere = opened.door("192.0.2.7")
    sign_in(elsewhere)
    page = get(door, "/console/account")
    assert "192.0.2.7" in page.text
    (end,) = [each for each in page.forms if each.action.endswith("/end")]
    assert end.send().status == 303
    assert get(elsewhere, "/console/keys").status == 303
    sign_in(elsewhere)
    asked = get(door, get(door, "/console/account").links["End other sessions"])
    assert "192.0.2.7" in asked.text
    assert get(elsewhere, "/console/keys").status == 200
    assert asked.form().send().status == 303
    assert get(elsewhere, "/console/keys").status == 303
    assert get(door, "/console/keys").status == 200


def test_without_other_sessions_there_is_none_to_end(opened: House) -> None:
    door = first_administrator(opened)
    assert "End other sessions" not in get(door, "/console/account").links
    page = get(door, "/console/account/sessions/end-others")
    assert "You have no other sessions." in page.text
    assert "End other sessions" not in page.text


@pytest.mark.soak
@pytest.mark.parametrize("change", ["disable", "reset"])
def test_the_last_admin_is_told_why_before_a_button_is_offered(opened: House, change: str) -> None:
    door = first_administrator(opened)
    page = get(door, f"{get(door, '/console/administrators').links['Ada Admin']}/{change}")
    assert "is the last administrator with the role admin who can sign in" in page.text
    assert page.links["invite an administrator"] == "/console/administrators/invite"
    assert '<button class="primary danger">' not in page.html
    assert page.form().send().status == 409
    invited(door, opened, name="Otto", email="otto@example.com", role="admin")
    page = get(door, f"{get(door, '/console/administrators').links['Ada Admin']}/{change}")
    assert '<button class="primary danger">' in page.html


def test_administrators_are_invited_changed_disabled_and_reset(opened: House) -> None:
    door = first_administrator(opened)
    otto = invited(door, opened, name=f"Otto {MARKUP}", email="otto@example.com", role="operator")
    listed = get(door, "/console/administrators")
    assert f"Otto {MARKUP}" in listed.text
    path = listed.links[f"Otto {MARKUP}"]
    assert get(otto, "/console/settings").status == 403
    assert get(otto, path).status == 200
    assert get(door, path).form(path).send(role="viewer").status == 303
    assert get(otto, "/console/keys").status == 303  # a smaller role ends the sessions
    sign_in(otto, "otto@example.com")
    assert get(otto, "/console/apis/new").status == 403
    assert get(door, f"{path}/disable").form().send().status == 303
    assert sign_in(otto, "otto@example.com").status == 400
    assert get(door, path).form(f"{path}/enable").send().status == 303
    assert sign_in(otto, "otto@example.com").status == 303
    reset = get(door, f"{path}/reset").form().send()
    assert "set-up?code=" in reset.text
    assert get(otto, "/console/keys").status == 303
    assert sign_in(otto, "otto@example.com").status == 400


def test_the_last_admin_stays(opened: House) -> None:
    door = first_administrator(opened)
    path = get(door, "/console/administrators").links["Ada Admin"]
    refused = get(door, f"{path}/disable").form().send()
    assert refused.status == 409
    assert get(door, path).form(path).send(role="viewer").status == 409
    assert get(door, "/console/settings").status == 200


def test_two_who_edit_one_administrator(opened: House) -> None:
    door = first_administrator(opened)
    invited(door, opened, name="Otto", email="otto@example.com", role="operator")
    path = get(door, "/console/administrators").links["Otto"]
    first, second = get(door, path).form(path), get(door, path).form(path)
    assert first.send(name="Otto One").status == 303
    late = second.send(name="Otto Two")
    assert late.status == 412
    assert "Changed by Ada Admin" in late.text
    assert late.form(path).value("name") == "Otto Two"


def test_an_admin_key_is_shown_once_and_revoked(opened: House) -> None:
    door = first_administrator(opened)
    form = get(door, "/console/administrators/keys/new").form()
    assert form.send(name="", role="operator").status == 400
    assert form.send(name="CI", role="king").status == 400
    assert form.send(name="CI", role="operator", days="9999").status == 400
    made = form.send(name="CI", role="operator", days="30")
    (key,) = [word for word in made.text.split() if word.startswith("authsec_")]
    api = opened.door(Authorization=f"Bearer {key}")
    assert api.get("/authsec/api/v1/roles").status_code == 200
    listed = get(door, "/console/administrators")
    assert key not in listed.html
    assert get(door, listed.links["CI"]).form().send().status == 303
    assert api.get("/authsec/api/v1/roles").status_code == 401


def test_a_session_is_no_admin_key_and_the_other_way_round(opened: House) -> None:
    door = first_administrator(opened)
    assert door.get("/authsec/api/v1/roles").status_code == 401
    assert door.post("/authsec/api/v1/roles", json={"name": "x", "actions": ["a:b"]}).status_code == 401
    key = door.cookies.get("authsec-session-7468") or ""
    assert opened.door(Authorization=f"Bearer {key}").get("/authsec/api/v1/roles").status_code == 401


def test_an_administrator_disabled_meanwhile_finishes_nothing(opened: House) -> None:
    door = first_administrator(opened)
    otto = invited(door, opened, name="Otto", email="otto@example.com", role="operator")
    form = get(otto, "/console/roles/new").form()
    path = get(door, "/console/administrators").links["Otto"]
    get(door, f"{path}/disable").form().send()
    assert form.send(name="Late", action="customers:read").status == 303  # to the sign-in
    assert "Late" not in get(door, "/console/roles").text


def test_nothing_is_posted_by_another_site(opened: House) -> None:
    door = first_administrator(opened)
    fields = {"name": "Evil", "email": "evil@example.com", "role": "admin"}
    for headers in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ):
        answer = door.post("/console/administrators/invite", data=fields, headers=headers, follow_redirects=False)
        assert answer.status_code == 403, headers
    assert "Evil" not in get(door, "/console/administrators").text
    ours = {"Origin": "http://127.0.0.1:7468"}
    assert door.post("/console/administrators/invite", data=fields, headers=ours).status_code == 200


@pytest.mark.parametrize(
    "to",
    some_of(
        [
            *("https://evil.example/", "//evil.example", "/\\evil.example", "/console/../../x", "/other"),
            *("/consoleevil", "x", "//[", "http://["),
        ]
    ),
)
def test_signing_in_leads_to_no_other_site(opened: House, to: str) -> None:
    first_administrator(opened)
    assert sign_in(opened.door(), next=to).location == "/console"


def test_light_or_dark_is_remembered(opened: House) -> None:
    door = first_administrator(opened)
    page = get(door, "/console/keys")
    assert page.form("/console/theme").send(theme="dark").location == "/console/keys"
    assert 'data-theme="dark"' in get(door, "/console/keys").html
    assert page.form("/console/theme").send(theme="dark", back="https://evil.example").location == "/console"


def test_a_form_that_is_none_is_refused(opened: House) -> None:
    door = first_administrator(opened)
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = door.post("/console/administrators/invite", json={"name": "x"}, headers=headers)
    assert answer.status_code == 415
    twice = post(door, "/console/administrators/invite", [("name", "a"), ("name", "b"), ("email", "e@e.example")])
    assert twice.status == 400


def test_the_trail_says_who_came_in_first_and_by_what(opened: House) -> None:
    door = first_administrator(opened)
    trail = get(door, "/console/activity").text
    assert "created a one-time link for the first administrator" in trail
    assert "Ada Admin set up their account" in trail
