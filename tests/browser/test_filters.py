"""Filters while a person types: they apply after a pause, and the person types on in the same place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.soak  # test_console_activity and others filter without a script

MAX_LIFETIME = "AUTHSEC_SERVER_MAX_TOKEN_LIFETIME"
FOCUSED = """() => {
  const { tagName, id, name, textContent } = document.activeElement;
  return [tagName, id, name, textContent.trim().slice(0, 40)];
}"""


def test_typed_text_applies_and_keeps_its_place(place: Any, browse: Any, axe: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/settings")
    text = page.get_by_role("searchbox", name="Name, value or meaning")
    text.press_sequentially("max lifetime")
    page.wait_for_url("**text=max+lifetime**")
    expect(page.get_by_role("row").filter(has_text=MAX_LIFETIME)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="AUTHSEC_SERVER_PORT")).to_have_count(0)
    expect(text).to_be_focused()
    for _ in "lifetime":
        page.keyboard.press("ArrowLeft")
    page.keyboard.type("token ")
    page.wait_for_url("**text=max+token+lifetime**")
    expect(text).to_be_focused()
    assert text.evaluate("field => field.selectionStart") == len("max token ")
    assert axe(page) == []
    page.go_back()
    expect(page).to_have_url("about:blank")  # unfinished words are no pages of the history


def test_text_typed_while_another_choice_applies_is_applied_too(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/settings?text=lifetime&changed=yes")
    text = page.get_by_role("searchbox", name="Name, value or meaning")
    page.evaluate(
        """() => {
          document.querySelector("#filter-changed").click();
          const text = document.querySelector("#filter-text");
          text.focus();
          text.value = "max token";
          text.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    page.wait_for_url(re.compile(r"text=max\+token$"))
    expect(text).to_have_value("max token")
    expect(page.get_by_role("row").filter(has_text=MAX_LIFETIME)).to_be_visible()


def test_a_problem_with_typed_text_does_not_take_the_focus(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/activity")
    client = page.get_by_role("textbox", name="Client")
    client.press_sequentially("nobo")
    expect(page.get_by_role("alert").filter(has_text="No client has this name")).to_be_visible()
    expect(client).to_be_focused()
    page.keyboard.type("dy")
    page.wait_for_url("**client=nobody**")


def test_without_a_script_a_button_applies_the_text(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary, java_script_enabled=False)
    page.goto("/console/settings")
    page.get_by_role("searchbox", name="Name, value or meaning").fill("max token")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row").filter(has_text=MAX_LIFETIME)).to_be_visible()


def test_the_focus_stays_where_a_person_goes_before_the_text_applies(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    for way, keys in (
        ("the next field", ("Tab",)),
        ("the field before", ("Shift+Tab",)),
        ("a link without an id", ("Tab", "Tab")),
    ):
        page.goto("/console/activity")
        page.get_by_role("textbox", name="Client").press_sequentially("mary")
        for key in keys:
            page.keyboard.press(key)
        there = page.evaluate(FOCUSED)
        page.wait_for_url("**client=mary**")
        expect(page.get_by_role("alert").filter(has_text="No client has this name")).to_be_visible()
        assert page.evaluate(FOCUSED) == there, way


def test_the_caret_stays_in_another_field_while_the_text_applies(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/settings")
    page.get_by_role("searchbox", name="Name, value or meaning").press_sequentially("port")
    search = page.get_by_role("combobox", name="Search clients, delegations")
    search.press_sequentially("night o")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**text=port**")
    expect(search).to_be_focused()
    expect(search).to_have_value("night o")
    assert search.evaluate("field => field.selectionStart") == len("night ")


def test_a_link_that_is_pressed_before_the_text_applies_leads_on(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/settings")
    page.get_by_role("searchbox", name="Name, value or meaning").press_sequentially("port")
    held: list[Any] = []
    page.route("**/console/roles", lambda route: held.append(route))  # a slow answer: the pause ends before it comes
    page.get_by_role("link", name="Roles & Actions").click(no_wait_after=True)
    page.wait_for_timeout(1000)
    held[0].continue_()
    page.wait_for_url("**/console/roles")
    expect(page.get_by_role("heading", name="Roles & Actions")).to_be_visible()
