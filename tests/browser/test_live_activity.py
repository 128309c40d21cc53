"""The open Activity page grows by itself, with what was asked for; for whoever is shut out it stands still."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

SOON = 5_000  # milliseconds
X = "\u00d7"  # the sign that removes a filter
SAYS_SO = "New events appear automatically."


def watching(page: Page, query: str = "") -> Locator:
    """The rows of the page once it is live, newest first."""
    page.goto(f"/console/activity{query}")
    expect(page.get_by_text(SAYS_SO)).to_be_visible()
    page.evaluate("window.sameDocument = true")
    return page.get_by_role("region", name="Events").get_by_role("row")


@pytest.mark.soak  # the last event of the next test appears on top
def test_events_appear_on_top_without_a_reload(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    rows = watching(page)
    for name in ("First Watched", "Second Watched"):
        place.its.role(name, "customers:read")
        expect(rows.nth(1)).to_contain_text(name, timeout=SOON)
    expect(rows.nth(2)).to_contain_text("First Watched")
    assert page.evaluate("window.sameDocument")
    rows.nth(1).get_by_role("cell").last.click(force=True)  # the link of the row covers all cells
    expect(page.get_by_role("heading", level=1)).to_contain_text("Second Watched")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("by", "width"),
    [
        ("pointer", 1024),
        pytest.param("keyboard", 1024, marks=pytest.mark.soak),
        ("scrolling", 390),
    ],
)
def test_events_wait_while_somebody_reads(place: Any, browse: Any, by: str, width: int) -> None:
    for number in range(12):
        place.its.role(f"Read {by} {number}", "customers:read")
    page = browse(place.url, storage_state=place.mary, viewport={"width": width, "height": 500})
    rows = watching(page)
    under_the_eye = rows.filter(has_text=f"Read {by} 6")
    if by == "pointer":
        under_the_eye.scroll_into_view_if_needed()
        under_the_eye.hover()
    elif by == "keyboard":
        under_the_eye.get_by_role("link").last.focus()
    else:
        page.get_by_role("region", name="Events").evaluate("table => scrollTo(0, table.offsetTop + 60)")
    before, count = under_the_eye.bounding_box(), rows.count()
    for number in range(5):
        place.its.role(f"Later {by} {number}", "customers:read")
    button = page.get_by_role("button", name="5 new events")
    expect(button).to_be_in_viewport(ratio=1, timeout=SOON)
    expect(page.get_by_role("status").get_by_text("New events wait while you read.")).to_be_attached()
    assert (under_the_eye.bounding_box(), rows.count()) == (before, count)
    button.click()
    expect(rows.nth(1)).to_contain_text(f"Later {by} 4")
    expect(rows.nth(1)).to_be_in_viewport(ratio=1)
    expect(button).to_be_hidden()
    page.mouse.move(0, 0)
    place.its.role(f"Last {by}", "customers:read")
    expect(rows.nth(1)).to_contain_text(f"Last {by}", timeout=SOON)  # nobody reads any more


def test_equal_refusals_grow_in_one_row(place: Any, browse: Any) -> None:
    agent = place.its.agent("In a loop", keyed=True)
    place.its.delegate(place.its.role("In a loop", "loops:run"), agent, "loops:run")
    page = browse(place.url, storage_state=place.mary)
    rows = watching(page, f"?what=refused&client={agent.client_id}")

    def refuse() -> None:
        assert not place.its.ask(agent, scope="loops:end").is_success

    refuse()
    expect(rows.nth(1)).to_contain_text("asked for loops:end", timeout=SOON)
    count = rows.count()
    for number in (2, 3):
        refuse()
        expect(rows.nth(1)).to_contain_text(f"asked for loops:end {number} times", timeout=SOON)
    assert rows.count() == count
    rows.nth(1).hover()
    refuse()
    refuse()
    button = page.get_by_role("button", name="2 new events")
    expect(button).to_be_visible(timeout=SOON)
    expect(rows.nth(1)).to_contain_text("3 times")
    button.click()
    expect(rows.nth(1)).to_contain_text("5 times")
    assert rows.count() == count
    rows.nth(1).get_by_role("cell").last.click(force=True)
    expect(page.get_by_text("Each event has a row.")).to_be_visible()
    expect(page.get_by_role("region", name="Events").get_by_role("row")).to_have_count(6)


@pytest.mark.soak
def test_a_filter_applies_at_once_and_a_link_removes_it(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/activity")
    expect(page.get_by_role("button", name="Filter")).to_be_hidden()
    page.get_by_label("Kind").select_option("Roles")
    page.wait_for_url("**what=roles**")
    page.get_by_role("link", name="30 days").click()
    page.get_by_label("Reason").select_option("no_delegation")
    page.wait_for_url("**reason=no_delegation**")
    expect(page.get_by_role("link", name="30 days", exact=True)).to_have_attribute("aria-current", "true")
    filters = page.get_by_role("list", name="Active filters")
    expect(filters).to_have_text(f"Kind: Roles{X}Reason: no_delegation{X}Time: last 30 days{X}Show all")
    filters.get_by_role("link", name="Kind: Roles").click()
    expect(filters).to_have_text(f"Reason: no_delegation{X}Time: last 30 days{X}Show all")
    filters.get_by_role("link", name="Show all").click()
    expect(page).to_have_url(f"{place.url}/console/activity")


@pytest.mark.soak  # test_console_activity.py has the filters without script
def test_without_a_script_a_button_applies_the_filter(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary, java_script_enabled=False)
    page.goto("/console/activity")
    page.get_by_label("Kind").select_option("Roles")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("list", name="Active filters")).to_contain_text("Kind: Roles")


@pytest.mark.soak  # test_every_page looks at the list with usual names
def test_an_event_has_one_line_and_few_if_its_names_are_long(place: Any, browse: Any) -> None:
    long = "Reconciliation of Correspondence and Counterfeit Investigations, Recoveries and Wwwwwwwwwwwwwwwwwwwww"
    place.its.role(long, "customers:read")
    client = place.its.post("clients", name=long, platform="unattested")["client_id"]
    place.its.http.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client})
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/activity")
    rows = page.get_by_role("region", name="Events").locator("tbody tr")
    for width, usual, most in ((390, 85, 140), (1440, 40, 80)):
        page.set_viewport_size({"width": width, "height": 800})
        expect(rows.filter(has_text=long)).to_have_count(3)
        heights = [(row.bounding_box() or {})["height"] for row in rows.all()]
        assert max(heights) < most
        assert min(heights) < usual
        for time in page.locator(".log-time time").all():
            assert time.evaluate("time => time.parentElement.scrollWidth - time.parentElement.clientWidth") == 0


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
