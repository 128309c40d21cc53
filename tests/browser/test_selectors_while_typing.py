"""Onboarding helps while somebody types: selectors are explained and checked, rows come without another page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

pytestmark = pytest.mark.soak  # test_new_delegation and test_walkthrough type selectors as well

CHECK = "**/console/clients/selectors"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def page(place: Any, browse: Any) -> Page:
    """The dialog, with Kubernetes chosen."""
    window: Page = browse(place.url, storage_state=place.mary)
    window.goto("/console/clients/onboard")
    window.get_by_role("radio", name="Kubernetes").check()
    return window


def half(page: Page, which: str, row: int) -> Locator:
    return page.get_by_label(f"{which} of selector {row}").filter(visible=True)


def rest(page: Page, word: str, row: int) -> Locator:
    """The field for the rest of a key. Its label is what the chosen key calls it."""
    return page.get_by_role("textbox", name=f"{word} of selector {row}", exact=True)


def test_what_is_typed_is_explained_and_checked(page: Page) -> None:
    key, value = half(page, "Key", 1), half(page, "Value", 1)
    with page.expect_response(CHECK):
        key.select_option("k8s:ns")
    expect(key).to_have_accessible_description(re.compile("^For example production · "))
    expect(key).not_to_have_attribute("aria-invalid", "true")
    value.fill("Production")
    expect(value).to_have_accessible_description(re.compile("'Production' is not a valid value of k8s:ns"))
    value.fill("production")
    expect(value).to_have_accessible_description("the pod's namespace · no trusted issuer")
    expect(value).not_to_have_attribute("aria-invalid", "true")


def test_the_rest_of_a_key_has_a_field_of_its_own(page: Page) -> None:
    key, value = half(page, "Key", 1), half(page, "Value", 1)
    expect(rest(page, "Label", 1)).to_have_count(0)
    key.select_option("k8s:pod-owner:")
    expect(rest(page, "Kind", 1)).to_be_visible()
    key.focus()
    with page.expect_response(CHECK):
        key.select_option("k8s:pod-label:")
    label = rest(page, "Label", 1)
    expect(label).not_to_have_attribute("aria-invalid", "true")  # still typing: nobody is blamed
    label.focus()
    with page.expect_response(CHECK):
        value.fill("support")
    expect(label).to_have_attribute("aria-invalid", "true")
    expect(label).to_have_accessible_description(re.compile("Enter the label's name"))
    label.fill("app")
    expect(label).to_have_accessible_description("the value of a label of the pod · no trusted issuer")
    key.select_option("k8s:ns")
    expect(rest(page, "Label", 1)).to_have_count(0)


@pytest.mark.soak
def test_rows_are_added_in_place_and_another_platform_forgets_none(page: Page) -> None:
    page.evaluate("window.sameDocument = true")
    half(page, "Key", 1).select_option("k8s:ns")
    rows = page.get_by_label(re.compile(r"Key of selector \d+")).filter(visible=True)
    before = rows.count()
    page.get_by_role("button", name="Add a selector").filter(visible=True).click()
    expect(half(page, "Key", before + 1)).to_be_focused()
    half(page, "Key", before + 1).select_option("k8s:pod-label:")
    rest(page, "Label", before + 1).fill("app")
    page.get_by_role("radio", name="Docker").check()
    expect(half(page, "Key", 1)).to_have_value("")
    page.get_by_role("radio", name="Kubernetes").check()
    expect(half(page, "Key", 1)).to_have_value("k8s:ns")
    expect(rest(page, "Label", before + 1)).to_have_value("app")
    assert page.evaluate("window.sameDocument")


@pytest.mark.soak
def test_an_answer_that_comes_while_a_button_is_pressed_does_not_lose_the_click(page: Page) -> None:
    rows = page.get_by_label(re.compile(r"Key of selector \d+")).filter(visible=True)
    before = rows.count()
    button = page.get_by_role("button", name="Add a selector").filter(visible=True)
    with page.expect_response(CHECK):
        half(page, "Key", 1).select_option("k8s:ns")
    expect(page.get_by_text("For example production")).to_be_visible()
    button.hover(position={"x": 5, "y": 2})  # what the answer says above moves it from under the pointer
    half(page, "Value", 1).fill("Production")
    with page.expect_response(CHECK):
        page.mouse.down()
    page.wait_for_timeout(100)  # for the page to do what the answer asks for
    page.mouse.up()
    expect(rows).to_have_count(before + 1)
    expect(half(page, "Value", 1)).to_have_attribute("aria-invalid", "true")


# Wide windows are for long runs: in a narrow one, the buttons are pushed out of view sooner.
@pytest.mark.parametrize("viewport", [pytest.param(WIDE, marks=pytest.mark.soak), NARROW], ids=["wide", "narrow"])
def test_the_buttons_stay_in_view_and_nothing_looks_filled_in(place: Any, browse: Any, axe: Any, viewport: Any) -> None:
    page: Page = browse(place.url, storage_state=place.mary, viewport=viewport)
    page.goto("/console/clients/onboard")
    modal = page.get_by_role("dialog")
    assert modal.locator("[placeholder]").count() == 0
    for platform in modal.get_by_role("group", name="Platform", exact=True).get_by_role("radio").all():
        platform.check()
        expect(platform).to_have_accessible_description(re.compile(r"\w\.$"))
        expect(modal.get_by_role("button", name="+ Onboard")).to_be_in_viewport(ratio=1)
        assert {each.input_value() for each in modal.get_by_role("combobox").all()} <= {""}
        assert axe(page) == []


def test_without_script_a_key_of_two_parts_is_kept_while_rows_are_added(place: Any, browse: Any) -> None:
    page: Page = browse(place.url, storage_state=place.mary, java_script_enabled=False)
    page.goto("/console/clients/onboard")
    page.get_by_role("radio", name="Docker").check()
    half(page, "Key", 1).select_option("docker:env:")
    rest(page, "Variable", 1).fill("ROLE")
    half(page, "Value", 1).fill("support")
    before = page.get_by_label(re.compile(r"Key of selector \d+")).filter(visible=True).count()
    page.get_by_role("button", name="Add a selector").filter(visible=True).click()
    expect(half(page, "Key", before + 1)).to_be_focused()
    expect(rest(page, "Variable", 1)).to_have_value("ROLE")
    expect(half(page, "Value", 1)).to_have_accessible_description(
        "the value of an environment variable of the container; never put a secret here · no trusted issuer"
    )


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
