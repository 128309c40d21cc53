"""A switch shows what belongs to the chosen option and hides the rest, without script and by keyboard, too."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

ORDER_OF_USE = ["1. Environment", "2. Install", "3. Code", "4. Smoke test", "5. Conversation"]


@pytest.mark.parametrize("script", [pytest.param(True, marks=pytest.mark.soak), False])  # it has no script
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


@pytest.mark.soak
@pytest.mark.parametrize("script", [True, pytest.param(False, marks=pytest.mark.soak)])
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


@pytest.mark.soak
@pytest.mark.parametrize("script", [pytest.param(True, marks=pytest.mark.soak), False])  # it has no script
def test_connect_shows_the_cards_of_one_kind_of_program(company: Any, browse: Any, axe: Any, script: bool) -> None:
    page: Page = browse(company.url, storage_state=company.mary, java_script_enabled=script)
    page.goto("/console/clients/claims-triage/connect")
    programs = page.get_by_role("group", name="Program")
    cards = {
        "JavaScript": ["1. Environment", "2. Install", "3. Code", "4. Smoke test"],
        "Any OAuth client": ["Settings"],
        "MCP client": ["Settings"],  # no trust delegation is for an MCP server
        "Python": ORDER_OF_USE,
    }
    for program, headings in cards.items():
        programs.get_by_role("radio", name=program).check()
        shown = page.get_by_role("heading", level=2).all_inner_texts()
        assert shown == [*headings, "Key pair", "Run it on a laptop"]
        if script:
            assert axe(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/console/clients/invoice-matcher/connect")
    programs.get_by_role("radio", name="MCP client").check()
    sdks = page.get_by_role("group", name="SDK")
    expect(page.locator(".panel").filter(visible=True)).to_contain_text("@modelcontextprotocol/sdk")
    sdks.get_by_role("radio", name="Python").check()
    expect(page.locator(".panel").filter(visible=True)).to_contain_text("For the package mcp")


def test_connect_of_pods_shows_one_framework(company: Any, browse: Any) -> None:
    page: Page = browse(company.url, storage_state=company.mary)
    page.goto("/console/clients/customer-support/connect")
    expect(page.get_by_role("heading", name="1. Pod manifest")).to_be_visible()
    page.get_by_role("group", name="Framework").get_by_role("radio", name="CrewAI").check()
    shown = page.locator(".panel").filter(visible=True)
    expect(shown).to_have_count(2)
    page.get_by_role("radio", name="PowerShell").check()
    expect(shown).to_have_count(2)
    expect(shown.first).to_contain_text("agent-venv\\Scripts\\Activate.ps1")
