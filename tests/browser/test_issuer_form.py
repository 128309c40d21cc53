"""The form of a trusted issuer shows the fields that the chosen options need, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

NEW = "/console/issuers/new?kind=kubernetes"
FIELDS = ("Keys", "Address of the keys", "Certificate authority optional")
SHOWN = {
    "Pasted here": {"Keys"},
    "Fetched from an address": {"Address of the keys", "Certificate authority optional"},
    "Found in the issuer's metadata (OpenID Connect Discovery)": {"Certificate authority optional"},
}


@pytest.mark.soak
@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_the_source_of_keys_decides_which_fields_are_shown(place: Any, browse: Any, script: bool) -> None:
    page = browse(place.url, storage_state=place.mary, java_script_enabled=script)
    page.goto(NEW)
    for source, shown in SHOWN.items():
        page.get_by_label("Source of keys").select_option(source)
        for field in FIELDS:
            expect(page.get_by_label(field, exact=True)).to_be_visible(visible=field in shown)


@pytest.mark.soak
def test_a_problem_opens_the_options_that_have_it(place: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto(NEW)
    audience = page.get_by_label("Audience optional")
    expect(audience).to_be_hidden()
    page.get_by_label("Name").fill("Production")
    page.get_by_label("Issuer").fill("https://cluster.example.com")
    page.get_by_label("Source of keys").select_option("Fetched from an address")
    page.get_by_label("Address of the keys").fill("https://keys.example.com")
    page.get_by_text("More options").click()
    audience.fill("pay\u202eroll")  # has a character that turns the text round
    page.get_by_role("button", name="Add trusted issuer").click()
    page.get_by_role("alert").get_by_role("link").click()
    expect(audience).to_be_focused()
    expect(page.get_by_label("Address of the keys")).to_have_value("https://keys.example.com")
