"""After a page that answers a form, Reload and Back send nothing again, and bring back no old error."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.soak
def test_reload_after_a_refused_form_brings_back_no_error(place: Any, browse: Any) -> None:
    page: Page = browse(place.url, storage_state=place.mary)
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.url) if each.method == "POST" else None)
    page.goto("/console/roles/new")
    page.get_by_label("Name").fill("Pay\u202eroll")
    page.get_by_role("textbox", name="Actions").fill("payroll:read")
    page.get_by_role("button", name="Create role").click()
    expect(page.locator("#problem")).to_be_visible()
    assert len(sent) == 1
    page.reload()
    expect(page.get_by_role("heading", name="Create role")).to_be_visible()
    expect(page.locator("#problem")).to_have_count(0)
    page.get_by_role("link", name="Activity", exact=True).click()
    page.go_back()
    expect(page.get_by_role("heading", name="Create role")).to_be_visible()
    assert len(sent) == 1


@pytest.mark.soak
def test_reload_of_a_code_makes_no_second_code(place: Any, browse: Any) -> None:
    agent = place.its.agent("Agent of the reloaded code").client_id
    page: Page = browse(place.url, storage_state=place.mary)
    page.goto(f"/console/clients/{agent}/enrol")
    page.get_by_role("button", name="Create code").click()
    expect(page.get_by_text("The code is shown only once.")).to_be_visible()
    page.reload()
    page.goto(f"/console/clients/{agent}")
    expect(page.get_by_role("button", name="Take back")).to_have_count(1)
