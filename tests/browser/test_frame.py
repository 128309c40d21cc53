"""The frame of every page: where the menu is, how soon somebody reaches the first field, and that nothing jumps."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
SHIFT = """window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""
# Notes which forms would be sent, and sends none.
STAYS = """() => {
  window.prevented = [];
  window.addEventListener("submit", (event) => {
    window.prevented.push(event.defaultPrevented);
    event.preventDefault();
  });
}"""
PAGES = (
    "/console",
    "/console/picture",
    "/console/clients",
    "/console/clients/claims-triage",
    "/console/clients/claims-triage/connect",
    "/console/delegations",
    "/console/delegations/new",
    "/console/activity",
    "/console/issuers/production-cluster",
    "/console/keys",
    "/console/apis/claims-api",
)
FORMS = {
    "/console/administrators/invite": "Name",
    "/console/administrators/keys/new": "Name",
    "/console/apis/new": "Name",
    "/console/apis/claims-api/credentials/new": "Name",
    "/console/clients/claims-triage/edit": "AI Agent Name",
    "/console/clients/onboard": "AI Agent Name",
    "/console/delegations/new": "Role",
    "/console/issuers/new?kind=oidc": "Name",
    "/console/roles/new": "Name",
    "/console/activity/end-token": "The token, or its jti",
    "/console/sign-in": "E-mail",
}
LISTS = {
    "/console/clients": "Name or Client ID",
    "/console/activity": "Kind",
    "/console/delegations": "Role",
    "/console/clients/claims-triage/test": "Proof",
}
MOST_TABS = 12


# Wide windows are for long runs: a narrow one has the same parts, and less room.
@pytest.mark.parametrize("viewport", [NARROW, pytest.param(WIDE, marks=pytest.mark.soak)], ids=["narrow", "wide"])
def test_nothing_jumps_while_a_page_is_loaded(company: Any, browse: Any, viewport: Any) -> None:
    page = browse(company.url, storage_state=company.mary, viewport=viewport, reused=False)
    page.add_init_script(SHIFT)
    shifts = {}
    for way in PAGES:
        page.goto(way)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shifts[way] = page.evaluate("window.shift")
    assert {way: shift for way, shift in shifts.items() if shift > 0.001} == {}


@pytest.mark.parametrize("script", [pytest.param(True, marks=pytest.mark.soak), False])  # the menu has no script
def test_a_narrow_window_has_the_sidebar_as_a_menu(company: Any, browse: Any, script: bool) -> None:
    page: Page = browse(company.url, storage_state=company.mary, viewport=NARROW, java_script_enabled=script)
    page.goto("/console")
    sidebar = page.get_by_role("navigation", name="Console")
    expect(sidebar).to_have_count(0)
    page.locator("summary", has_text="Menu").click()
    expect(sidebar).to_be_visible()
    expect(sidebar.get_by_text("Oversight", exact=True)).to_be_visible()
    sidebar.get_by_role("link", name="Trusted issuers").click()
    expect(page.get_by_role("heading", name="Trusted issuers", level=1)).to_be_visible()
    expect(sidebar).to_have_count(0)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type] # of the same form
    expect(sidebar).to_have_count(1)
    expect(page.locator("summary", has_text="Menu")).to_be_hidden()


def test_a_double_click_sends_a_form_once(company: Any, browse: Any) -> None:
    page: Page = browse(company.url, storage_state=company.mary)
    page.goto("/console/roles/new")
    page.get_by_label("Name").fill("Sent once")
    page.get_by_label("Actions").fill("once:read")
    page.evaluate(STAYS)
    create = page.get_by_role("button", name="Create role")
    create.dblclick()
    assert page.evaluate("window.prevented") == [False, True]
    expect(create).to_have_attribute("aria-disabled", "true")
    expect(create).to_have_class("primary busy")
    page.evaluate("window.dispatchEvent(new Event('pageshow'))")  # somebody came back to the page
    create.click()
    assert page.evaluate("window.prevented") == [False, True, False]


@pytest.mark.soak
@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_somebody_types_at_once_into_a_page_that_is_one_form(company: Any, browse: Any, share: int) -> None:
    """In short runs, into each third of them."""
    page: Page = browse(company.url, storage_state=company.mary)
    for way, label in [*FORMS.items()][::share]:
        page.goto(way)
        field = page.get_by_role("textbox", name=label, exact=True)
        expect(field.or_(page.get_by_role("combobox", name=label, exact=True))).to_be_focused()
    page.goto("/console/roles/new")
    page.get_by_label("Name").fill("A role")
    page.get_by_label("Actions").fill("no action")
    page.get_by_role("button", name="Create role").click()
    expect(page.locator("#problem")).to_be_focused()


@pytest.mark.soak
def test_few_presses_of_tab_lead_to_the_first_field_of_a_list(company: Any, browse: Any) -> None:
    page: Page = browse(company.url, storage_state=company.mary)
    for way, label in LISTS.items():
        page.goto(way)
        field = page.locator("main").get_by_label(label).first
        for _ in range(MOST_TABS):
            page.keyboard.press("Tab")
            if field.evaluate("field => field === document.activeElement"):
                break
        expect(field).to_be_focused()
