"""Onboarding helps while somebody types: selectors are explained and checked, rows come without another page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

CHECK = "**/console/clients/selectors"


@pytest.fixture
def page(place: Any, browse: Any) -> Page:
    """The dialog, with Kubernetes chosen."""
    window: Page = browse(place.url, storage_state=place.mary)
    window.goto("/console/clients/onboard")
    window.get_by_role("radio", name="Kubernetes").check()
    return window


def half(page: Page, which: str, row: int) -> Locator:
    return page.get_by_label(f"{which} of selector {row}").filter(visible=True)


def test_what_is_typed_is_explained_and_checked(page: Page) -> None:
    key, value = half(page, "Key", 1), half(page, "Value", 1)
    assert "k8s:ns" in key.evaluate("input => [...input.list.options].map(option => option.value)")
    with page.expect_response(CHECK):
        key.press_sequentially("k8s:nss")
    expect(key).not_to_have_attribute("aria-invalid", "true")  # still typing: nobody is blamed
    value.click()
    expect(key).to_have_attribute("aria-invalid", "true")
    expect(key).to_have_accessible_description(re.compile("the nearest is k8s:ns"))

    key.fill("k8s:ns")
    expect(key).to_have_accessible_description(re.compile("namespace"))
    expect(key).not_to_have_attribute("aria-invalid", "true")
    value.fill("Production")
    expect(value).to_have_accessible_description(re.compile("'Production' is not a valid value of k8s:ns"))
    value.fill("production")
    expect(value).to_have_accessible_description("the pod's namespace · no trusted issuer")
    expect(value).not_to_have_attribute("aria-invalid", "true")


@pytest.mark.soak
def test_rows_are_added_in_place_and_another_platform_forgets_none(page: Page) -> None:
    page.evaluate("window.sameDocument = true")
    half(page, "Key", 1).fill("k8s:ns")
    rows = page.get_by_label(re.compile(r"Key of selector \d+")).filter(visible=True)
    before = rows.count()
    page.get_by_role("button", name="Add a row").filter(visible=True).click()
    expect(half(page, "Key", before + 1)).to_be_focused()
    half(page, "Key", before + 1).fill("k8s:sa")
    page.get_by_role("radio", name="Docker").check()
    expect(half(page, "Key", 1)).to_have_value("")
    page.get_by_role("radio", name="Kubernetes").check()
    expect(half(page, "Key", 1)).to_have_value("k8s:ns")
    expect(half(page, "Key", before + 1)).to_have_value("k8s:sa")
    assert page.evaluate("window.sameDocument")


@pytest.mark.soak
def test_an_answer_that_comes_while_a_button_is_pressed_does_not_lose_the_click(page: Page) -> None:
    rows = page.get_by_label(re.compile(r"Key of selector \d+")).filter(visible=True)
    before = rows.count()
    button = page.get_by_role("button", name="Add a row").filter(visible=True)
    button.hover(position={"x": 5, "y": 2})  # what the answer says above moves it from under the pointer
    half(page, "Key", 1).fill("k8s:nss")
    with page.expect_response(CHECK):
        page.mouse.down()
    page.wait_for_timeout(100)  # for the page to do what the answer asks for
    page.mouse.up()
    expect(rows).to_have_count(before + 1)
    expect(half(page, "Key", 1)).to_have_attribute("aria-invalid", "true")


def test_leaving_what_was_typed_has_to_be_meant(place: Any, page: Page) -> None:
    asked = list[str]()

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", stay)
    page.get_by_label("AI Agent Name").fill("Half Typed")
    page.keyboard.press("Escape")
    expect(page.get_by_label("AI Agent Name")).to_have_value("Half Typed")
    assert asked == ["Leave without saving what you typed?"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{place.url}/console/clients")
