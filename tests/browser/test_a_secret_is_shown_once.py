"""A client's secret stands on one page: copied from there, it lets the agent in; gone back to, it is not there."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from authsec.client_secret import is_client_secret
from playwright.sync_api import Page, expect


def copied(page: Page) -> str:
    page.get_by_role("button", name="Copy secret").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
    secret: str = page.evaluate("navigator.clipboard.readText()")
    assert is_client_secret(secret.strip())
    return secret.strip()


def lets_in(its: Any, secret: str) -> bool:
    client_id = its.admin.get("clients/legacy-host").json()["client_id"]
    credential = b64encode(f"{client_id}:{secret}".encode()).decode()
    asked = its.http.get(
        "/authsec/uflow/sdk/delegation-token",
        params={"client_id": client_id},
        headers={"Authorization": f"Basic {credential}"},
    )
    return bool(asked.json()["reason"] == "no_delegation")


@pytest.mark.soak  # test_console_secrets.py has the same without a browser
def test_from_onboarding_to_the_rotation(place: Any, browse: Any, axe: Any) -> None:
    page = browse(place.its.url, storage_state=place.mary)
    page.goto("/console/clients/onboard")
    page.get_by_label("AI Agent Name").fill("Legacy Host")
    expect(page.get_by_text("A secret is weak")).to_be_hidden()
    page.get_by_role("radio", name="Client secret").check()
    expect(page.get_by_text("A secret is weak")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="+ Onboard").click()
    first = copied(page)
    assert axe(page) == []
    assert lets_in(place.its, first)

    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("main").get_by_text("Client secret", exact=True).first).to_be_visible()
    page.go_back()  # no-store: the browser has kept nothing, and asks for the form anew
    expect(page.get_by_label("AI Agent Name")).to_have_value("")
    assert first not in page.content()

    page.goto("/console/clients/legacy-host")
    page.get_by_role("link", name="Rotate secret").click()
    page.get_by_label("Earlier secrets").select_option(
        label="stop working now, with their tokens (a secret was leaked)"
    )
    page.get_by_role("button", name="Rotate secret").click()
    second = copied(page)
    assert (lets_in(place.its, first), lets_in(place.its, second)) == (False, True)
