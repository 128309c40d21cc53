"""Coming in with a password or a link, and being let out: by oneself, or by a session's end elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

WRONG = "not the password at all"


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def choose_password(page: Page, password: str) -> None:
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password again").fill(password)
    page.get_by_role("button", name="Set password and sign in").click()


@pytest.mark.soak  # test_console_entrance.py has the same without a browser
def test_the_right_password_leads_to_the_page_that_was_wanted_and_signing_out_ends_it(
    place: Any, browse: Any, password: str
) -> None:
    page = browse(place.url)
    page.goto("/console/clients?text=a+b")
    sign_in(page, "mary@example.com", WRONG)
    field = page.get_by_label("Password")
    expect(field).to_have_accessible_description("The e-mail address or the password is not right.")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    expect(page.get_by_label("E-mail")).to_have_value("mary@example.com")

    sign_in(page, "Mary@Example.com", password)
    expect(page).to_have_url(f"{place.url}/console/clients?text=a+b")
    page.get_by_text("Your account: Mary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.soak  # likewise
def test_a_session_that_is_ended_elsewhere_is_out_at_its_next_click(
    place: Any, browse: Any, invite: Any, password: str
) -> None:
    lost, found = browse(place.url, storage_state=invite(place.its, "Ann", "operator")), browse(place.url)
    lost.goto("/console")
    found.goto("/console/account")
    sign_in(found, "ann@example.com", password)
    found.get_by_role("button", name="End the session from 127.0.0.1").click()
    expect(found.get_by_text("The session has ended.")).to_be_visible()

    lost.get_by_role("link", name="Roles & Actions").click()
    expect(lost).to_have_url(f"{place.url}/console/sign-in?next=%2Fconsole%2Froles&ended=yes")
    sign_in(lost, "ann@example.com", password)
    expect(lost).to_have_url(f"{place.url}/console/roles")


@pytest.mark.soak  # test_console_entrance.py of the server has the same without a browser
def test_a_link_that_has_been_used_says_so(place: Any, browse: Any, password: str) -> None:
    link = place.its.post("administrators", name="Ben", email="ben@example.com", role="viewer")["link"]["url"]
    early, late = browse(place.url), browse(place.url)
    early.goto(link)
    late.goto(link)  # looking uses nothing up
    choose_password(early, password)
    expect(early.get_by_text("You are signed in.")).to_be_visible()

    for come in (lambda: choose_password(late, password), lambda: late.goto(link)):
        come()
        expect(late.get_by_role("heading", name="This link does not work")).to_be_visible()
        expect(late.get_by_text(re.compile("The link was already used. A link works only once."))).to_be_visible()
    late.get_by_role("link", name="Sign in").click()
    sign_in(late, "ben@example.com", password)
    expect(late.get_by_role("navigation", name="Console")).to_be_visible()
