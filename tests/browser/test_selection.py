"""The bar for the chosen rows of a list: it counts them, is in view at once, and needs no script."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def clients(place: Any) -> Any:
    """An authority with more clients than a window shows."""
    for number in range(30):
        place.its.post("clients", name=f"Agent {number:02}", platform="unattested")
    return place


def opened(clients: Any, browse: Any, **window: Any) -> Page:
    page: Page = browse(clients.url, storage_state=clients.mary, viewport={"width": 390, "height": 800}, **window)
    page.goto("/console/clients")
    return page


@pytest.mark.soak
def test_the_chosen_rows_are_counted_and_can_be_disabled_at_once(clients: Any, browse: Any) -> None:
    page = opened(clients, browse)
    disable = page.get_by_role("button", name="Disable…")
    expect(disable).to_be_hidden()
    for name in ("Agent 00", "Agent 01"):
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    expect(page.get_by_text("2 selected")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Clear").click()
    expect(disable).to_be_hidden()
    assert page.get_by_role("checkbox", checked=True).count() == 0
    page.get_by_role("checkbox", name="Choose Agent 01").check()
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(disable).to_be_in_viewport(ratio=1)
    disable.click()
    expect(page.get_by_role("heading", name="Disable these clients?")).to_be_visible()


@pytest.mark.soak  # the bar with script is in every run
def test_the_bar_needs_no_script(clients: Any, browse: Any) -> None:
    page = opened(clients, browse, java_script_enabled=False)
    page.get_by_role("checkbox", name="Choose Agent 02").check()
    expect(page.get_by_text("Selected clients")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Selected clients")).to_be_hidden()
