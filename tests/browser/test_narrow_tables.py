"""Tables that fit: beside the sidebar or in a narrow window, what somebody must see of a client is to be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

WIDTHS = (320, *(pytest.param(width, marks=pytest.mark.soak) for width in (768, 900, 1024, 1280)))
LONG = {
    "name": "Reconciliation of Correspondence Wwwwwwwwwwwwwwwwwwww",
    "owner": "Counterfeit-Investigations and Recoveries",
}
HIDDEN = "box => box.scrollWidth - box.clientWidth"


@pytest.fixture(scope="module")
def clients(place: Any) -> Any:
    """An authority with an agent that can't authenticate. The agent has a long name and a long owner."""
    selectors = [{"key": "k8s:ns", "value": "production"}]
    place.its.post("clients", platform="kubernetes", selectors=selectors, **LONG)
    place.its.post("clients", name="Free for All", platform="unattested")
    return place


@pytest.mark.soak
@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_clients_shows_how_each_stands(clients: Any, browse: Any, width: int) -> None:
    page = browse(clients.url, storage_state=clients.mary, viewport={"width": width, "height": 800})
    page.goto("/console/clients")
    box = page.get_by_role("region", name="Clients")
    assert box.evaluate(HIDDEN) == 0
    free, waits = ["No delegation", "Unattested"], ["Kubernetes", "Can't authenticate"]
    for row, tells in ((rows(box).first, free), (rows(box).last, waits)):
        row.scroll_into_view_if_needed()
        for text in ("AI Agent", *tells):
            expect(seen(row, text)).to_be_in_viewport(ratio=1)
        expect(row.get_by_role("button", name="Copy the Client ID")).to_be_visible()


def rows(box: Locator) -> Locator:
    return box.locator("tbody tr")


def seen(row: Locator, text: str) -> Locator:
    return row.get_by_text(text).locator("visible=true").first


@pytest.fixture(scope="module")
def delegations(place: Any) -> Any:
    """An authority with three trust delegations: one grants nothing, one is revoked, one waits for a proof and ends."""
    place.its.post("roles", name="Correspondence", actions=["letters:read", "letters:write"])
    what = {"role": "correspondence", "target_type": "AutoGen AI agent", "actions": ["letters:read"]}
    what |= {"max_duration": 3600, "owner": "Platform and Recoveries"}
    selectors = [{"key": "k8s:ns", "value": "production"}]
    place.its.post("clients", name="Writer of Letters", platform="kubernetes", selectors=selectors)
    place.its.post("clients", name="Open Writer of Letters", platform="unattested")
    ends = (datetime.now(UTC) + timedelta(minutes=50)).isoformat()
    place.its.post("delegations", client="writer-of-letters", ends_at=ends, **what)
    place.its.post("delegations", client="open-writer-of-letters", require_dpop=True, **what)
    over = place.its.post("delegations", client="open-writer-of-letters", **what)
    place.its.post(f"delegations/{over['id']}/revoke")
    return place


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_trust_delegations_shows_how_each_stands(delegations: Any, browse: Any, width: int) -> None:
    page = browse(delegations.url, storage_state=delegations.mary, viewport={"width": width, "height": 800})
    page.goto("/console/delegations")
    box = page.get_by_role("region", name="Trust delegations")
    assert box.evaluate(HIDDEN) == 0
    for state, tells in (
        ("Can't authenticate", ["Live", "minutes"]),
        ("Grants nothing", ["Live", "no end date"]),
        ("Revoked", ["Create again"]),
    ):
        row = rows(box).filter(has_text=state)
        row.scroll_into_view_if_needed()
        for text in ("Platform and Recoveries", state, *tells):
            expect(seen(row, text)).to_be_in_viewport(ratio=1)


@pytest.mark.soak
@pytest.mark.parametrize("width", [320, pytest.param(900, marks=pytest.mark.soak)])
def test_what_is_right_of_a_line_stays_with_it(clients: Any, browse: Any, width: int) -> None:
    """Values of settings, and the buttons that end sessions, were right of a narrow window."""
    page = browse(clients.url, storage_state=clients.mary, viewport={"width": width, "height": 800})
    page.goto("/console/settings")
    row = page.get_by_role("region", name="Settings").locator("tbody tr").nth(1)  # below the name of its group
    expect(seen(row, "command-line option")).to_be_in_viewport(ratio=1)
    page.goto("/console/account")
    expect(page.get_by_text("Current", exact=True)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_review_of_an_edit_shows_what_the_edit_takes_away(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/delegations")
    page.locator("tbody a").first.click()
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Requires DPoP").check()
    page.get_by_role("button", name="Review the changes").last.click()
    assert page.get_by_role("region", name="Before and after").evaluate(HIDDEN) == 0
    expect(page.get_by_text("Takes away")).to_be_in_viewport(ratio=1)
