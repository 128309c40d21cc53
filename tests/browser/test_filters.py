"""Filters while a person types: they apply after a pause, and the person types on in the same place."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

MAX_LIFETIME = "AUTHSEC_SERVER_MAX_TOKEN_LIFETIME"


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
