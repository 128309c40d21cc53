"""Administrators: how each comes in, another address for one, what is said before they are kept out, what a role is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from authsec_server.accounts import administrators
from authsec_server.principal import Act
from pages import get
from people import PASSWORD, first_administrator, invited
from starlette.testclient import TestClient


@pytest.fixture
def its(house: Callable[..., Any]) -> Any:
    """An authority nobody has set up yet."""
    return house()


@pytest.fixture
def door(its: Any) -> TestClient:
    """The browser of its first administrator."""
    return first_administrator(its)


def page_of(door: TestClient, name: str) -> str:
    """The path of that person's page, as the list leads there."""
    return get(door, "/console/administrators").links[name]


def test_before_somebody_is_disabled_it_says_what_ends_and_what_stays(its: Any, door: TestClient) -> None:
    theirs = invited(its, door, "viewer")
    page = get(door, page_of(door, "Vic") + "/disable")
    assert "1 session of this administrator ends at once" in page.text
    assert "Everything that Vic created stays" in page.text
    assert get(theirs, "/console").status == 200, "asking has ended nothing"
    after = page.form().send().follow()
    assert "The administrator is disabled and cannot sign in." in after.text
    assert get(theirs, "/console").status == 303


def test_another_address_lets_them_sign_in_with_that(its: Any, door: TestClient) -> None:
    invited(its, door, "viewer")
    home = page_of(door, "Vic")
    after = get(door, home).form(home).send(email="victoria@example.com").follow()
    assert "Saved." in after.text
    assert "vic@example.com" not in after.text
    fresh = its.door()
    signed_in = get(fresh, "/console/sign-in").form().send(email="victoria@example.com", password=PASSWORD)
    assert signed_in.status == 303


def test_an_address_that_another_has_is_refused_at_the_field(its: Any, door: TestClient) -> None:
    invited(its, door, "viewer")
    home = page_of(door, "Vic")
    page = get(door, home).form(home).send(email="ada@example.com", name="Victoria")
    assert page.status == 409
    assert "An administrator ada@example.com already exists." in page.html.partition('id="field-email-problem">')[2]
    assert page.form(home).value("name") == "Victoria"
    assert page_of(door, "Vic") == home, "nothing of it was kept"


def test_who_came_in_by_a_link_alone_is_not_called_invited(its: Any, door: TestClient, act: Act) -> None:
    form = get(door, "/console/administrators/invite").form()
    form.send(name="Lin", email="lin@example.com", role="viewer")
    assert "Lin lin@example.com viewer nothing yet Invited never" in get(door, "/console/administrators").text
    now = replace(act, now=its.clock.now())
    link = its.authority.database.change(lambda tx: administrators.for_a_sign_in(tx, now, "lin@example.com"))
    assert get(its.door(), f"/console/set-up?code={link.code}").form().send().status == 303
    listed = get(door, "/console/administrators")
    assert "Lin lin@example.com viewer One-time links No password yet just now" in listed.text
    page = get(door, listed.links["Lin"]).text
    assert "Signs in with One-time links, no password yet" in page
    assert "invited" not in page


def test_a_role_says_what_it_does_not_see(door: TestClient, its: Any) -> None:
    vic = invited(its, door, "viewer")
    for path in ("/console/administrators/invite", "/console/administrators/keys/new", page_of(door, "Vic")):
        assert "Viewers see everything except settings and other people's sessions." in get(door, path).text, path
    assert "Settings" not in get(vic, "/console").links
    assert "Sessions" not in get(vic, page_of(door, "Ada Admin")).text


def test_the_recent_actions_are_told_in_the_words_of_the_audit_log(door: TestClient, its: Any) -> None:
    get(invited(its, door, "viewer"), "/console")
    page = get(door, page_of(door, "Vic")).text
    assert "signed in" in page or "set up their account" in page
    assert "administrator.set_up" not in page
    assert "admin.sign_in" not in page


def test_a_person_is_sent_to_people_and_not_to_keys(door: TestClient, its: Any) -> None:
    vic = invited(its, door, "viewer")
    page = get(vic, "/console/settings")
    assert page.status == 403
    assert (
        "Vic has the role viewer; this action needs the role admin. Ask an administrator who has that role."
        in page.text
    )
    assert "use a key" not in page.text


def test_whose_session_has_ended_is_told_so(door: TestClient, its: Any) -> None:
    vic = invited(its, door, "operator")
    home = page_of(door, "Vic")
    assert "Your session has ended" not in get(its.door(), "/console").follow().text, "nobody was signed in"
    get(door, home).form(home).send(role="viewer")
    answer = get(vic, "/console/keys?x=1")
    page = answer.follow()
    assert page.path == urlsplit(answer.location).path == "/console/sign-in"
    assert "Your session has ended Sign in again." in page.text
    wrong = page.form("/console/sign-in").send(email="vic@example.com", password="no")
    assert "Your session has ended" not in wrong.text
    back = wrong.form("/console/sign-in").send(email="vic@example.com", password=PASSWORD)
    assert back.location == "/console/keys?x=1"


def test_ending_all_sessions_asks_first(door: TestClient, its: Any) -> None:
    vic = invited(its, door, "operator")
    home = page_of(door, "Vic")
    question = get(door, get(door, home).links["End all sessions"])
    assert "End all sessions of Vic?" in question.text
    assert "1 session of Vic (vic@example.com) ends at once, everywhere. Vic can sign in again." in question.text
    assert question.links["disable the administrator"] == f"{home}/disable"
    assert get(vic, "/console/keys").status == 200
    assert question.form(f"{home}/end-sessions").send().location.startswith(home)
    assert get(vic, "/console/keys").status == 303


def test_the_list_of_keys_says_how_long_each_lets_anybody_in(house: Callable[..., Any]) -> None:
    operator = house(local_operator=True)
    door = operator.door()
    for name, days in (("Gone", 1), ("Soon", 8), ("Long", 90), ("Ended", 90)):
        body = {"name": name, "role": "viewer", "expires_in": days * 86_400}
        assert door.post("/authsec/api/v1/admin-keys", json=body).status_code == 201
    door.post("/authsec/api/v1/admin-keys/Ended/revoke")
    operator.clock.at += timedelta(days=2)
    text = get(door, "/console/administrators").text
    states = [text.index(word) for word in ("Ended", "Revoked", "Gone", "Expired", "Long", "Active", "Soon")]
    assert states == sorted(states)
    assert "Expires soon" in text[states[-1] :]


def test_where_nobody_can_sign_in_the_list_has_the_command_for_the_first(
    house: Callable[..., Any], tmp_path: Path
) -> None:
    page = get(house(local_operator=True).door(), "/console/administrators")
    line = f"uv run authsec admin setup-url --data {tmp_path}"
    assert f"To create the first administrator, run {line} on the server's machine." in page.text
    assert f"<code>{line}</code>" in page.html
