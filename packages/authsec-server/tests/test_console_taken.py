"""What is taken already is said at the field where another can be given; what was typed is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from pages import Page, get, post
from starlette.testclient import TestClient

ONBOARD, APIS, INVITE = "/console/clients/onboard", "/console/apis/new", "/console/administrators/invite"
KEYS = json.dumps({"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "one"}]})


@pytest.fixture
def door(house: Callable[..., Any]) -> TestClient:
    """The browser of whoever sits at the authority's machine."""
    browser: TestClient = house(local_operator=True).door()
    return browser


def problem_at(page: Page, field: str) -> str:
    """What the page says at that field."""
    assert f'aria-describedby="field-{field}' in page.html
    return page.html.partition(f'id="field-{field}-problem">')[2].partition("</p>")[0]


@pytest.mark.parametrize(
    ("slug", "field", "says"),
    [("", "name", "This name makes the slug support."), ("support", "slug", "The slug support already")],
)
def test_a_slug_is_blamed_on_the_name_that_makes_it(door: TestClient, slug: str, field: str, says: str) -> None:
    asked = [("kind", "ai_agent"), ("name", "Support"), ("platform", "unattested"), ("slug", slug)]
    assert post(door, ONBOARD, asked).follow().status == 200
    page = post(door, ONBOARD, asked)
    assert page.status == 409
    assert says in problem_at(page, field)
    assert page.links["Open Support"] == "/console/clients/support"
    assert (page.form(ONBOARD).value("name"), page.form(ONBOARD).value("slug")) == ("Support", slug)


@pytest.mark.parametrize(
    ("changes", "field"), [({"slug": "orders"}, "slug"), ({"identifier": "https://orders.example.com"}, "identifier")]
)
def test_an_api_s_names(door: TestClient, changes: dict[str, str], field: str) -> None:
    first = {"name": "Orders", "identifier": "https://orders.example.com"}
    assert get(door, APIS).form().send(**first).follow().status == 200
    page = get(door, APIS).form().send(**{"name": "Further", "identifier": "further"} | changes)
    assert page.status == 409
    assert "already belongs to the API" in problem_at(page, field)
    assert page.form().value("name") == "Further"


def test_an_administrator_s_address(door: TestClient) -> None:
    whom = {"name": "Ann", "email": "ann@example.com", "role": "viewer"}
    get(door, INVITE).form().send(**whom)
    page = get(door, INVITE).form().send(**whom)
    assert page.status == 409
    assert "already" in problem_at(page, "email")
    assert page.form().value("name") == "Ann"


@pytest.mark.parametrize(
    ("address", "listing", "kind", "typed"),
    [
        ("/console/roles/new", "/console/roles", "role", {"other_actions": "orders:read"}),
        (APIS, "/console/apis", "API", {"identifier": "https://orders.example.com"}),
        (
            "/console/issuers/new?kind=kubernetes",
            "/console/issuers",
            "trusted issuer",
            {"issuer": "https://orders.example", "keys_from": "given", "given_keys": KEYS},
        ),
    ],
)
def test_a_name_that_makes_a_taken_slug_leads_to_its_holder(
    door: TestClient, address: str, listing: str, kind: str, typed: dict[str, str]
) -> None:
    def send(**changes: str) -> Page:
        form = get(door, address).form(address.partition("?")[0])
        return form.send(**{**typed, "name": "Orders"} | changes)

    assert send().status == 303
    page = send(**({"identifier": "further"} if kind == "API" else {}))
    assert page.status == 409
    assert "This name makes the slug orders." in problem_at(page, "name")
    assert f"The {kind} 'Orders' already has that slug." in page.text
    assert page.links["Open Orders"] == f"{listing}/orders"
