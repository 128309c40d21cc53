"""The delegation diagram with a script: the paths of a box light up on hover, on focus, and while somebody searches."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.soak  # test_every_page looks at the picture; test_console_picture reads it

LIT = "svg => [...svg.querySelectorAll('a.lit title')].map(title => title.textContent)"
DIMMED = "svg => [...svg.querySelectorAll('[data-ways]')].filter(part => getComputedStyle(part).opacity < 0.5).length"


@pytest.fixture
def page(company: Any, browse: Any) -> Page:
    opened: Page = browse(company.url, storage_state=company.mary, viewport={"width": 1440, "height": 900})
    opened.goto("/console/picture")
    return opened


def drawn(page: Page) -> Locator:
    return page.locator("svg.picture")


def test_hover_and_focus_light_up_the_same_paths_and_dim_the_rest(page: Page) -> None:
    picture = drawn(page)
    for box in (picture.locator("a").first, picture.get_by_role("link", name="Claims Triage")):
        assert (picture.evaluate(LIT), picture.evaluate(DIMMED)) == ([], 0)
        box.hover()
        hovered = picture.evaluate(LIT)
        assert box.locator("title").text_content() in hovered
        assert 4 < len(hovered) < picture.locator("a").count()
        assert picture.evaluate(DIMMED) > 0
        page.mouse.move(0, 0)
        assert (picture.evaluate(LIT), picture.evaluate(DIMMED)) == ([], 0)
        box.focus()
        assert picture.evaluate(LIT) == hovered
        page.keyboard.press("Escape")
        assert (picture.evaluate(LIT), picture.evaluate(DIMMED)) == ([], 0)


def test_a_typed_text_lights_up_the_boxes_and_enter_keeps_only_them(page: Page) -> None:
    picture = drawn(page)
    number = picture.locator("a").count()
    page.get_by_label("Find in the diagram").fill("CLAIMS TRIAGE")
    expect(page.get_by_text(f"1 of {number} boxes")).to_be_visible()
    lit = picture.evaluate(LIT)
    assert len(lit) > 4
    page.keyboard.press("Enter")
    expect(page).to_have_url("/console/picture?find=CLAIMS+TRIAGE")
    expect(drawn(page).locator("a")).to_have_count(len(lit))


def test_the_picture_begins_with_the_agents_in_a_narrow_window(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": 390, "height": 844})
    page.goto("/console/picture")
    for name in ("Claims Triage", "https://ledger.example.com"):
        expect(drawn(page).get_by_role("link", name=name)).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("heading", name="Delegation diagram as a table")).to_be_visible()


def test_without_a_script_every_box_is_a_link_and_the_search_works(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary, java_script_enabled=False)
    page.goto("/console/picture")
    page.get_by_label("Find in the diagram").fill("claims triage")
    page.get_by_role("button", name="Find").click()
    drawn(page).get_by_role("link", name="Claims Triage").click()
    expect(page.get_by_text("Client: Claims Triage")).to_be_visible()


def test_a_narrow_diagram_says_that_it_scrolls_and_fades_the_edges_beyond_which_it_goes_on(page: Page) -> None:
    cue, frame = page.get_by_text("Scroll sideways"), page.get_by_role("group", name="Delegation diagram")
    expect(cue).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    expect(cue).to_be_visible()
    frame.evaluate("frame => { frame.scrollLeft = 0; }")
    expect(frame).to_have_class("picture-frame more-after")
    frame.evaluate("frame => { frame.scrollLeft = frame.scrollWidth; }")
    expect(frame).to_have_class("picture-frame more-before")
