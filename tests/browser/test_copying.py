"""What is shown to be copied comes whole into the clipboard, and it is said; without script there is no dead button."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.soak  # test_walkthrough copies the Client ID

AGENT = "/console/clients/claims-triage"


@pytest.mark.parametrize(
    ("path", "button"),
    [
        (AGENT, "Copy the Client ID"),
        ("/console/clients", "Copy the Client ID of Claims Triage"),
        pytest.param(AGENT, "Copy the SPIFFE ID", marks=pytest.mark.soak),
        pytest.param(f"{AGENT}/connect", "Copy for bash", marks=pytest.mark.soak),
        pytest.param(f"{AGENT}/connect", "Copy for PowerShell", marks=pytest.mark.soak),
        pytest.param("/console/apis/ledger", "Copy audience", marks=pytest.mark.soak),
        pytest.param("/console/keys", "Copy key id", marks=pytest.mark.soak),
    ],
)
def test_a_copy_button_copies_what_stands_beside_it(company: Any, browse: Any, path: str, button: str) -> None:
    page = browse(company.url, storage_state=company.mary)
    page.goto(path)
    if button == "Copy for PowerShell":
        page.get_by_role("radio", name="PowerShell").check()
    if button == "Copy the SPIFFE ID":
        page.get_by_role("heading", name="Identity").click()
    copy = page.get_by_role("button", name=button).first
    copy.focus()
    page.keyboard.press("Enter")
    expect(copy.get_by_text("Copied", exact=True)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
    shown = copy.locator("..").get_by_role("code").inner_text()
    assert page.evaluate("navigator.clipboard.readText()").strip() == shown.strip() != ""


def test_without_script_nothing_is_offered_that_does_nothing(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary, java_script_enabled=False)
    page.goto(f"{AGENT}/connect")
    expect(page.get_by_role("code").filter(has_text="export AUTHSEC_BASE_URL")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.goto("/console/clients")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    ids = page.get_by_role("row").filter(has_text="Claims Triage").get_by_role("code").filter(has_text="-4")
    assert ids.evaluate("id => id.lastElementChild.getBoundingClientRect().width") > 100  # the whole id can be selected


def test_with_script_an_id_is_short(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary)
    page.goto("/console/clients")
    id_ = page.get_by_role("row").filter(has_text="Claims Triage").get_by_role("code").filter(has_text="-")
    assert id_.last.evaluate("id => id.lastElementChild.getBoundingClientRect().width") <= 1
