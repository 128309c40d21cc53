"""The open Activity page grows by itself, with what was asked for; for whoever is shut out it stands still."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

SOON = 5_000  # milliseconds
SAYS_SO = "New events appear automatically."


def watching(page: Page, query: str = "") -> Locator:
    """The rows of the page once it is live, newest first."""
    page.goto(f"/console/activity{query}")
    expect(page.get_by_text(SAYS_SO)).to_be_visible()
    page.evaluate("window.sameDocument = true")
    return page.get_by_role("region", name="Events").get_by_role("row")


def test_events_appear_on_top_without_a_reload(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    rows = watching(page)
    for name in ("First Watched", "Second Watched"):
        place.its.role(name, "customers:read")
        expect(rows.nth(1)).to_contain_text(name, timeout=SOON)
    expect(rows.nth(2)).to_contain_text("First Watched")
    assert page.evaluate("window.sameDocument")
    rows.nth(1).get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Second Watched")


def test_a_filter_holds_for_what_comes(place: Any, browse: Any) -> None:
    agent = place.its.agent("Refused")
    rows = watching(browse(place.url, storage_state=place.mary), f"?what=refused&client={agent.client_id}")
    expect(rows).to_have_count(0)  # nothing yet, and so no table
    place.its.role("Not Asked For", "customers:read")
    assert not place.its.ask(agent).is_success
    expect(rows.nth(1)).to_contain_text("Refused", timeout=SOON)
    expect(rows).to_have_count(2)  # with the head


@pytest.mark.soak  # test_audit_live.py has the same without a browser
@pytest.mark.parametrize("end", ["end-sessions", pytest.param("disable", marks=pytest.mark.soak)])
def test_it_ends_with_the_session(place: Any, browse: Any, invite: Any, end: str) -> None:
    name = f"Ann-{end}"
    page = browse(place.url, storage_state=invite(place.its, name, "viewer"))
    rows = watching(page)
    person = place.its.admin.get(f"administrators/{name.lower()}@example.com").json()["id"]
    place.its.post(f"administrators/{person}/{end}")
    expect(page.get_by_text(SAYS_SO)).to_be_hidden(timeout=SOON)
    before = rows.count()
    place.its.role(f"Unseen by {name}", "customers:read")
    page.wait_for_timeout(2_000)
    assert rows.count() == before
    page.get_by_role("link", name="APIs").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
