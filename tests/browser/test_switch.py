"""A switch shows what belongs to the chosen option and hides the rest, without script and by keyboard, too."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.parametrize("script", [True, False])
def test_one_framework_is_shown(company: Any, browse: Any, script: bool) -> None:
    page: Page = browse(company.url, storage_state=company.mary, java_script_enabled=script)
    page.goto("/console/apis/claims-api")
    frameworks = page.get_by_role("group", name="Framework")
    shown = page.locator(".panel").filter(visible=True)
    expect(frameworks.get_by_role("radio", name="Starlette")).to_be_checked()
    expect(shown).to_have_count(1)
    frameworks.get_by_role("radio", name="Flask").check()
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("authsec.flask import")
    page.keyboard.press("ArrowRight")
    expect(frameworks.get_by_role("radio", name="Django")).to_be_checked()
    expect(shown).to_contain_text("MIDDLEWARE")
