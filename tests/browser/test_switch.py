"""A switch shows what belongs to the chosen option and hides the rest, without script and by keyboard, too."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

ORDER_OF_USE = ["1. Environment", "2. Install", "3. Code", "4. Smoke test", "5. Conversation"]


@pytest.mark.parametrize("script", [pytest.param(True, marks=pytest.mark.in_ci), False])  # it has no script
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


@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.in_ci)])
def test_connect_shows_one_shell_and_one_framework(company: Any, browse: Any, axe: Any, script: bool) -> None:
    wide = {"width": 1440, "height": 900}
    page: Page = browse(company.url, storage_state=company.mary, java_script_enabled=script, viewport=wide)
    page.goto("/console/clients/claims-triage/connect")
    assert page.evaluate("document.documentElement.scrollHeight") < 2000
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    assert headings == [*ORDER_OF_USE, "Key pair", "Run it on a laptop"]
    shown = page.locator("pre").filter(visible=True)
    bash = shown.all_inner_texts()
    assert [text.partition(" ")[0] for text in bash] == ["export", "python3", "import", "uv"]
    page.get_by_role("radio", name="PowerShell").check()
    powershell = shown.all_inner_texts()
    assert [text.partition(" ")[0] for text in powershell] == [
        "$env:AUTHSEC_BASE_URL",
        "py",
        "import",
        "uv",
    ]
    page.get_by_role("group", name="Framework").get_by_role("radio", name="CrewAI").check()
    environment, install, code, smoke = shown.all_inner_texts()
    assert (environment, smoke) == (powershell[0], powershell[3])
    assert "pip install crewai requests" in install
    assert "from crewai import LLM, Agent" in code
    for fold in page.locator("details.fold > summary").all():
        fold.click()
    if script:
        assert axe(page) == []
