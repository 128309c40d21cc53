"""Turning on the second factor and signing in with a code, as a person with a phone does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from playwright.sync_api import expect


@pytest.mark.soak  # test_second_factor.py of the server has the same without a browser
def test_a_person_with_a_phone(place: Any, browse: Any, invite: Any, password: str) -> None:
    page = browse(place.url, storage_state=invite(place.its, "Tess", "operator"))
    page.goto("/console/account")
    page.get_by_role("link", name="Turn on").click()
    page.get_by_label("Current password").fill(password)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    box = page.get_by_role("img", name="QR code").locator("svg").bounding_box()
    assert box is not None
    assert box["width"] == box["height"] > 150
    phone = pyotp.TOTP(page.locator("code").first.inner_text())
    expect(page.get_by_label("Code", exact=True)).to_be_focused()
    page.get_by_label("Code", exact=True).fill(phone.now())
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("heading", name="Keep these recovery codes")).to_be_visible()
    page.get_by_role("link", name="Done").click()
    page.get_by_text("Your account: Tess").click()
    page.get_by_role("button", name="Sign out").click()

    page.get_by_label("E-mail").fill("tess@example.com")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code", exact=True).fill("000000")
    page.get_by_role("button", name="Sign in").click()
    field = page.get_by_label("Code", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    field.fill(phone.at(datetime.now(UTC) + timedelta(seconds=30)))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Your account: Tess")).to_be_visible()
