"""The search field of the top bar: its keys, its suggestions, and the page of results."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.soak  # test_console_search answers the same without a browser


@pytest.fixture
def page(company: Any, browse: Any) -> Page:
    """A page of the sample company, with the search field in its top bar."""
    its: Page = browse(company.url, storage_state=company.mary, viewport={"width": 1440, "height": 900})
    its.goto("/console/activity")
    return its


def options(page: Page) -> Any:
    return page.get_by_role("listbox", name="Search results").get_by_role("option")


@pytest.mark.parametrize("keys", ["/", "Control+k", "Meta+k"])
def test_a_key_leads_to_the_search_field(page: Page, keys: str) -> None:
    page.keyboard.press(keys)
    expect(page.locator("#search")).to_be_focused()
    expect(page.locator("#search")).to_have_value("")


def test_in_another_field_only_control_and_k_lead_to_the_search_field(page: Page) -> None:
    page.goto("/console/roles/new")
    field, other = page.locator("#search"), page.get_by_label("Name", exact=True)
    field.fill("a/b")
    other.press("/")
    expect(other).to_be_focused()
    other.press("Control+k")
    expect(field).to_be_focused()
    assert field.evaluate("field => [field.selectionStart, field.selectionEnd]") == [0, 3]


def test_suggestions_are_chosen_with_the_keyboard(page: Page, axe: Any) -> None:
    field = page.locator("#search")
    field.fill("claims")
    expect(options(page).filter(has_text="Claims Triage").first).to_be_visible()
    expect(field).to_have_attribute("aria-expanded", "true")
    assert field.get_attribute("aria-activedescendant") is None
    assert axe(page) == []
    field.press("ArrowUp")
    expect(options(page).last).to_have_attribute("aria-selected", "true")
    field.press("ArrowDown")
    expect(options(page).first).to_have_attribute("aria-selected", "true")
    assert axe(page) == []
    field.press("Escape")
    expect(options(page)).to_have_count(0)
    field.press("ArrowDown")
    expect(options(page).first).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    page.wait_for_url("**/console/clients/claims-triage")


def test_a_suggestion_is_chosen_with_the_pointer(page: Page) -> None:
    page.locator("#search").fill("customers")
    options(page).filter(has_text="Customers API").last.click()
    page.wait_for_url("**/console/apis/customers-api")


@pytest.mark.parametrize("width", [1440, 390])
def test_two_badges_leave_room_for_the_whole_name(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("#search").fill("fraud")
    delegation = options(page).filter(has_text="Claims handling → Fraud Watch")
    two = '<span class="badges"><span class="badge">Live</span> <span class="badge warn">Grants nothing</span></span>'
    delegation.locator(".badge").evaluate("(badge, two) => { badge.outerHTML = two }", two)
    fits = "name => name.scrollWidth <= name.clientWidth && name.scrollHeight <= name.clientHeight"
    assert delegation.locator(".option-name").evaluate(fits)


def test_the_enter_key_leads_to_all_results(page: Page) -> None:
    field = page.locator("#search")
    field.fill("a")
    expect(options(page).last).to_contain_text("results for “a”")
    field.press("Enter")
    page.wait_for_url("**/console/search?q=a")
    expect(page.get_by_role("heading", name="Clients")).to_be_visible()
    page.go_back()
    field.fill("a")
    options(page).last.click()
    page.wait_for_url("**/console/search?q=a")


def test_nothing_is_suggested_for_no_text(page: Page, axe: Any) -> None:
    field = page.locator("#search")
    field.click()
    field.press("ArrowDown")
    field.fill("nobody is called so")
    expect(page.get_by_text("Nothing matches.").first).to_be_visible()
    assert axe(page) == []
    field.fill("")
    expect(page.get_by_text("Nothing matches.").first).to_be_hidden()


def test_the_search_needs_no_script(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary, java_script_enabled=False)
    page.goto("/console")
    page.locator("#search").fill("claims")
    page.locator("#search").press("Enter")
    page.wait_for_url("**/console/search?q=claims")
    page.get_by_role("link", name="Claims Triage", exact=True).click()
    page.wait_for_url("**/console/clients/claims-triage")
