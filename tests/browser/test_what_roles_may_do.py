"""Nobody is offered what their role may not do; who goes there all the same is told so, and nothing happens."""

from __future__ import annotations

from typing import Any

import pytest
from console_pages import NOWHERE, console_routes, ways
from offered import Offered, offered, signed_in
from playwright.sync_api import expect

ONES_OWN = {"/console/theme", "/console/sign-out", "/console/account/password", "/console/account/second-factor"}
FORBIDDEN = {
    "viewer": [
        "/console/clients/onboard",
        "/console/clients/claims-triage/disable",
        "/console/delegations/new",
        "/console/roles/new",
        "/console/apis/ledger/edit",
        "/console/settings",
    ],
    "operator": ["/console/keys/rotate", "/console/administrators/invite", "/console/settings"],
}


def all_that_is_offered(company: Any, invited: dict[str, Any]) -> dict[str, Offered]:
    """One example of every page that links lead this person to, by its pattern."""
    found: dict[str, Offered] = {}
    with signed_in(company.url, invited) as http:

        def visit(way: str) -> list[str]:
            found[way] = offered(http, way)
            return found[way].links

        return {pattern: found[way] for way, pattern in ways(visit, console_routes(), ["/console"])}


@pytest.mark.soak  # test_console_addresses.py has the same of every page, without a process
def test_a_viewer_finds_nothing_to_change(company: Any, invite: Any) -> None:
    seen = all_that_is_offered(company, invite(company.its, "Vera", "viewer"))
    assert NOWHERE not in seen
    assert [pattern for pattern, page in seen.items() if page.heading.strip() in {"", "Not permitted"}] == []
    assert {pattern: page.posts - ONES_OWN for pattern, page in seen.items() if page.posts - ONES_OWN} == {}
    assert {"/console/clients/{client}", "/console/delegations/{delegation}", "/console/keys"} <= set(seen)


@pytest.mark.soak  # likewise
def test_an_operator_is_offered_nothing_of_an_administrators(company: Any, invite: Any) -> None:
    seen = all_that_is_offered(company, invite(company.its, "Omar", "operator"))
    assert [pattern for pattern, page in seen.items() if page.heading.strip() in {"", "Not permitted"}] == []
    assert {"/console/clients/onboard", "/console/delegations/new", "/console/roles/{role}/edit"} <= set(seen)


@pytest.mark.soak  # test_console_addresses.py has the same of every page
@pytest.mark.parametrize("role", ["viewer", pytest.param("operator", marks=pytest.mark.soak)])
def test_an_address_that_is_forced_is_refused_with_a_way_on(company: Any, browse: Any, invite: Any, role: str) -> None:
    page = browse(company.url, storage_state=invite(company.its, f"Forcing-{role}", role))
    for path in FORBIDDEN[role]:
        answer = page.goto(path)
        assert answer.status == 403, path
        expect(page.get_by_role("heading", name="Not permitted")).to_be_visible()
        expect(page.get_by_text(f"the role {role}")).to_be_visible()
    page.get_by_role("link", name="To the dashboard").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


@pytest.mark.soak  # test_console_addresses.py has lower roles without a browser
def test_who_loses_a_role_before_an_open_form_changes_nothing_with_it(place: Any, browse: Any, invite: Any) -> None:
    page = browse(place.url, storage_state=invite(place.its, "Olga", "operator"))
    page.goto("/console/roles/new")
    page.get_by_label("Name").fill("Too Late")
    page.get_by_label("Actions").fill("customers:read")
    olga = place.its.admin.get("administrators/olga@example.com").headers["ETag"]
    changed = {"json": {"role": "viewer"}, "headers": {"If-Match": olga}}
    assert place.its.admin.patch("administrators/olga@example.com", **changed).is_success
    page.get_by_role("button", name="Create role").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "Too Late" not in [each["name"] for each in place.its.admin.get("roles").json()["items"]]
