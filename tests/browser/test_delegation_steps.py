"""The steps of a trust delegation, with and without script: keys and buttons lead where they should, all is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

NEW = "/console/delegations/new"


BRIEFLY = pytest.mark.parametrize(
    "page", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["script", "no-script"], indirect=True
)


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def page(request: pytest.FixtureRequest, place: Any, browse: Any) -> Page:
    """Mary's window."""
    found: Page = browse(place.url, storage_state=place.mary, java_script_enabled=request.param)
    return found


@pytest.fixture
def agent(place: Any, request: pytest.FixtureRequest) -> str:
    """An agent of this test's own."""
    client_id: str = place.its.agent(f"Agent of {request.node.name}").client_id
    return client_id


@pytest.fixture(scope="module")
def role(place: Any) -> str:
    """A role of three actions."""
    place.its.role("Stepping", "customers:read", "customers:write", "tickets:close")
    return "stepping"


def at(page: Page, step: str) -> None:
    expect(page.get_by_role("heading", name=step, level=2)).to_be_visible()


@pytest.mark.soak  # test_console_delegation_steps.py has the same without a browser
@BRIEFLY
def test_back_and_the_names_of_the_steps_lose_nothing(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}/actions?role={role}&client={agent}")
    page.get_by_role("checkbox", name="tickets:close").check()
    page.get_by_role("button", name="Back").click()
    at(page, "Define context")
    page.get_by_label("Target Type").select_option("MCP server")
    page.get_by_role("button", name="Continue to permissions").click()
    expect(page.get_by_role("checkbox", name="tickets:close")).to_be_checked()
    expect(page.get_by_role("checkbox", name="customers:read")).not_to_be_checked()
    page.get_by_role("button", name="Continue to duration").click()
    page.get_by_label("Maximum Duration").fill("7")
    page.get_by_label("Unit").select_option("minutes")
    page.get_by_role("navigation", name="Steps").get_by_role("button", name="Define context").click()
    at(page, "Define context")
    expect(page.get_by_label("Target Type")).to_have_value("MCP server")
    page.get_by_role("button", name="Continue to permissions").click()
    page.get_by_role("button", name="Continue to duration").click()
    expect(page.get_by_label("Maximum Duration")).to_have_value("7")
    expect(page.get_by_label("Unit")).to_have_value("minutes")


@BRIEFLY
def test_enter_goes_on_whatever_button_comes_first(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}/duration?role={role}&client={agent}&actions=customers:read")
    page.get_by_label("Maximum Duration").fill("7")
    page.get_by_label("Maximum Duration").press("Enter")
    at(page, "Review")
    expect(page.get_by_text("7 hours")).to_be_visible()


@pytest.mark.soak  # test_console_delegation_steps.py has the same without a browser
@BRIEFLY
def test_going_on_with_a_new_role_typed_uses_it(page: Page, agent: str, request: pytest.FixtureRequest) -> None:
    page.goto(f"{NEW}?client={agent}")
    page.get_by_text("New role…").click()
    page.get_by_label("Role name").fill("Typed")
    page.get_by_label("Actions").last.fill("no action")
    page.get_by_role("button", name="Continue to permissions").click()
    expect(page.get_by_label("Role name")).to_have_value("Typed")
    expect(page.get_by_role("alert")).to_contain_text("is not an action")
    page.get_by_label("Role name").fill(f"Typed in {request.node.callspec.id}")
    page.get_by_label("Actions").last.fill("reports:read")
    page.get_by_role("button", name="Continue to permissions").click()
    at(page, "Assign permissions")
    expect(page.get_by_role("checkbox", name="reports:read")).to_be_visible()


@pytest.mark.soak  # likewise
@BRIEFLY
def test_after_back_the_same_is_not_created_again(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}/review?role={role}&client={agent}&actions=customers:read")
    page.get_by_role("button", name="Create Trust Delegation").click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()
    page.go_back()
    again = page.get_by_role("button", name="Create Trust Delegation")
    if again.is_visible():  # as the browser kept it
        again.click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was created")
    page.get_by_role("link", name="Open the existing one").click()
    expect(page).to_have_url(re.compile(r"/console/delegations/[0-9a-f-]{36}$"))
