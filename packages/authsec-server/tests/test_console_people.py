"""The page of one administrator: another address for them, and what is said before they are kept out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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
    assert "1 session of theirs ends at once" in page.text
    assert "What they have made stays" in page.text
    assert get(theirs, "/console").status == 200, "asking has ended nothing"
    after = page.form().send().follow()
    assert "They cannot sign in any more" in after.text
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
    assert "There is an administrator ada@example.com already." in page.html.partition('id="field-email-problem">')[2]
    assert page.form(home).value("name") == "Victoria"
    assert page_of(door, "Vic") == home, "nothing of it was kept"
