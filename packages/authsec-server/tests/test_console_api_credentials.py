"""An API's own credential in the console: shown once, listed on its page, revoked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from authsec.api_credential import is_api_credential
from introspecting import CRM, ask, token_for
from pages import Page, get
from starlette.testclient import TestClient

HOME = "/console/apis/crm"
NEW = f"{HOME}/credentials/new"


@pytest.fixture
def its(house: Any) -> Any:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(its: Any) -> TestClient:
    """The browser of its operator, where there is an API."""
    browser: TestClient = its.door()
    browser.post("/authsec/api/v1/apis", json={"name": "CRM", "identifier": CRM})
    return browser


def make(door: TestClient, **typed: str) -> Page:
    return get(door, NEW).form(NEW).send(**typed)


def secret_on(page: Page) -> str:
    assert page.status == 200, page.text
    found: set[str] = {word for word in re.findall(r"authsec_api_[\w-]+", page.html) if is_api_credential(word)}
    (secret,) = found
    return secret


def test_it_is_shown_on_the_answer_and_on_no_page_after_it(its: Any, door: TestClient) -> None:
    assert "No credentials." in get(door, HOME).text
    answer = make(door, name="first", days="90")
    secret = secret_on(answer)
    assert "is shown only once" in answer.text
    assert 'revocations="introspect"' in answer.text
    assert ask(door, token_for(its, CRM), secret).json()["active"] is True
    home = get(door, answer.links["Done"])
    assert "first Active" in home.text
    for path in (HOME, NEW, "/console/activity", "/console/apis"):
        assert secret not in get(door, path).html
    assert "created a credential for the API CRM" in get(door, "/console/activity").text


def test_one_is_replaced_and_revoked(its: Any, door: TestClient) -> None:
    make(door, name="old")
    its.clock.at += timedelta(seconds=1)
    form = get(door, NEW).form(NEW)
    make(door, name="new")
    refused = form.send(name="third")  # the page was opened before
    assert refused.status == 409
    assert "already has 2 valid credentials" in refused.text
    limit = get(door, NEW)
    assert "already has 2 valid credentials" in limit.text
    for page in (refused, limit):
        assert "old, last used never : Revoke old" in page.text
        assert "authsec apis" not in page.text
        assert len(re.findall(rf'href="{HOME}/credentials/[0-9a-f-]+/revoke"', page.html)) == 2
    links = re.findall(rf"{HOME}/credentials/[0-9a-f-]+/revoke", get(door, HOME).html)
    assert len(links) == 2
    question = get(door, links[0])
    assert 'Revoke the credential "old"?' in question.text
    assert "No token is revoked" in question.text
    assert "another valid credential: new" in question.text
    answer = get(door, question.form(links[0]).send().location)
    assert "The credential is revoked" in answer.text
    assert "old Revoked" in answer.text
    assert "has no other" in get(door, links[1]).text


def test_likely_mistakes(door: TestClient) -> None:
    for typed, said in (
        ({"name": ""}, "Name must not be empty"),
        ({"days": "5000"}, "can be valid for 1 to 3650 days"),
        ({"days": "soon"}, "Days must be a whole number"),
    ):
        refused = make(door, **typed)
        assert refused.status == 400
        assert said in refused.text
    assert get(door, f"{HOME}/credentials/nothing/revoke").status == 404
    assert get(door, "/console/apis/nobody/credentials/new").status == 404
