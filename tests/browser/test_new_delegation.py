"""The page that creates a trust delegation, with and without script: its review follows, and nobody creates unseen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

NEW = "/console/delegations/new"
WORDS = ("orders", "invoices", "tickets", "shipments")


BRIEFLY = pytest.mark.parametrize(
    "page", [True, pytest.param(False, marks=pytest.mark.soak)], ids=["script", "no-script"], indirect=True
)


@pytest.fixture(params=[True], ids=["script"])
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


@pytest.fixture(scope="module")
def large(place: Any) -> str:
    """A role of many actions."""
    place.its.role("Large", *(f"{word}:{verb}" for word in WORDS for verb in ("read", "list", "write")))
    return "large"


def review(page: Page) -> Locator:
    return page.get_by_role("region", name="Review")


def create(page: Page) -> Locator:
    return page.get_by_role("button", name="Create Trust Delegation")


def count_of(page: Page) -> Locator:
    return page.locator("[data-ticked=actions]")


@pytest.fixture
def requests(page: Page) -> list[str]:
    """The paths that the page has posted to."""
    found: list[str] = []
    page.on("request", lambda each: found.append(each.url) if each.method == "POST" else None)
    return found


def test_the_review_follows_the_form(page: Page, role: str, agent: str, requests: list[str]) -> None:
    page.goto(f"{NEW}?client={agent}")
    expect(page.get_by_text("Choose a role first.")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert requests == [], "nothing is typed yet"
    page.get_by_label("Role", exact=True).select_option(role)
    page.get_by_role("checkbox", name="tickets:close").check()
    expect(count_of(page)).to_have_text("1 of 3 selected")
    expect(review(page).get_by_role("listitem").filter(has_text="tickets:close").last).to_be_visible()
    expect(page.get_by_text(re.compile("^Stepping → Agent of .* · 1 action · 1 hour"))).to_be_visible()
    page.get_by_label("Maximum Duration").fill("7")
    page.get_by_label("Unit").select_option("minutes")
    expect(review(page)).to_contain_text("7 minutes, no end date")
    expect(page.get_by_role("checkbox", name="tickets:close")).to_be_checked()
    page.get_by_label("Maximum Duration").fill("")
    expect(review(page)).to_contain_text("must be a whole number")
    page.get_by_label("Maximum Duration").fill("8")
    expect(review(page)).to_contain_text("8 minutes")
    assert {each.partition(NEW)[2] for each in requests} == {"/parts"}
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()


@pytest.mark.soak  # test_console_new_delegation.py sends the box and reads the review without a browser
def test_a_delegation_that_requires_dpop(page: Page, role: str, place: Any, axe: Any) -> None:
    agent = place.its.agent("Bound", keyed=True).client_id
    page.goto(f"{NEW}?role={role}&client={agent}&actions=customers:read")
    page.get_by_text("End date, proofs, DPoP, owner and description").click()
    page.get_by_role("checkbox", name="Requires DPoP").check()
    expect(review(page)).to_contain_text("Requires DPoP")
    review(page).get_by_text("Claims of its tokens").click()
    expect(review(page).get_by_text('"cnf"')).to_be_visible()
    assert axe(page) == []
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()
    (made,) = place.its.admin.get("delegations", params={"client": agent}).json()["items"]
    assert made["require_dpop"] is True
    page.goto(f"/console/delegations/{made['id']}")
    expect(page.get_by_text("tokens are bound to a key of the client")).to_be_visible()
    page.goto(f"/console/clients/{agent}/connect")
    expect(page.get_by_text('export AUTHSEC_DPOP="1"').first).to_be_visible()
    page.goto(f"/console/delegations/{made['id']}/edit")
    page.get_by_role("checkbox", name="Requires DPoP").uncheck()
    page.get_by_role("button", name="Review the changes").last.click()
    expect(page.get_by_role("row", name="Requires DPoP")).to_contain_text("Gives more")


def test_what_was_folded_out_and_who_has_the_focus_stay(page: Page, role: str, agent: str, place: Any) -> None:
    described = [{"action": "tickets:close", "description": "Closes tickets."}]
    place.its.post("apis", name="Tickets", identifier="tickets", actions=described)
    page.goto(f"{NEW}?role={role}&client={agent}&actions=customers:read")
    review(page).get_by_text("Claims of its tokens").click()
    tickets = page.get_by_role("checkbox", name="Tickets", exact=True)
    tickets.focus()
    page.keyboard.press("Space")
    expect(review(page).locator("dd code", has_text=re.compile("^tickets$"))).to_be_visible()
    expect(review(page).get_by_text('"aud"')).to_be_visible()
    expect(tickets).to_be_focused()


def test_actions_are_filtered_and_only_those_shown_are_selected(page: Page, large: str, agent: str) -> None:
    page.goto(f"{NEW}?role={large}&client={agent}&actions=tickets:list")
    rows = page.get_by_role("group", name="Allowed Actions").get_by_role("checkbox")
    expect(rows).to_have_count(12)
    find = page.get_by_role("searchbox", name="Filter the actions")
    find.fill("orders READ")
    expect(rows).to_have_count(1)
    find.press("Enter")
    page.get_by_role("button", name="Select All").click()
    expect(count_of(page)).to_have_text("2 of 12 selected")
    find.fill("orders")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Select None").click()
    find.fill("")
    expect(count_of(page)).to_have_text("1 of 12 selected")
    expect(page.get_by_role("checkbox", name="tickets:list")).to_be_checked()
    assert page.url.endswith("tickets:list"), "the page is the same"


@pytest.mark.soak
def test_clients_are_found_and_chosen_with_the_keyboard(page: Page, role: str, agent: str, axe: Any) -> None:
    page.goto(f"{NEW}?role={role}&actions=customers:read")
    box = page.get_by_role("combobox", name="Client / Application")
    options = page.get_by_role("listbox", name="Clients").get_by_role("option")
    box.focus()
    expect(box).to_have_attribute("aria-expanded", "false")
    box.press("ArrowDown")
    expect(options.first).to_be_visible()
    box.fill("agent of test_clients")
    expect(options).to_have_count(1)
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(options.first).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    assert axe(page) == []
    box.press("Enter")
    expect(box).to_have_value(re.compile("^Agent of test_clients"))
    expect(options).to_have_count(0)
    expect(review(page)).to_contain_text("→ Agent of test_clients")
    box.fill(agent[:8])
    expect(options).to_have_count(1)
    box.press("Escape")
    expect(options).to_have_count(0)
    box.press("Tab")
    expect(box).to_have_value(re.compile("^Agent of test_clients")), "who leaves without a choice changes nothing"
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()


@pytest.mark.soak  # the next test chooses one
def test_a_client_that_nobody_finds_is_not_chosen(page: Page, role: str, agent: str, axe: Any) -> None:
    page.goto(f"{NEW}?role={role}")
    box = page.get_by_role("combobox", name="Client / Application")
    box.fill("nobody is called so")
    expect(page.get_by_text("No client matches.").first).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "false")
    assert axe(page) == []
    box.press("Enter")
    box.press("Tab")
    create(page).click()
    assert box.evaluate("field => field.validationMessage") == "Choose a client from the list."
    assert NEW in page.url
    box.fill("agent of test_a_client")
    page.get_by_role("listbox", name="Clients").get_by_role("option").first.click()
    expect(review(page)).to_contain_text("Choose a role, a client and at least one action.")
    expect(page.locator("[data-part=client]")).to_contain_text(agent[:8])
    box.fill("")
    box.press("Tab")
    expect(page.locator("[data-part=client]")).to_be_empty()


def test_the_only_client_of_a_typed_name_is_chosen(page: Page, place: Any, role: str, agent: str) -> None:
    billing = place.its.agent("Billing")
    place.its.agent("Billing Archive")
    page.goto(f"{NEW}?role={role}&client={agent}")
    box = page.get_by_role("combobox", name="Client / Application")
    box.fill("billing")
    expect(page.get_by_role("listbox", name="Clients").get_by_role("option")).to_have_count(2)
    box.press("Tab")
    expect(box).to_have_value("Billing")
    expect(page.locator("[data-part=client]")).to_contain_text(billing.client_id[:8])


@pytest.mark.soak  # test_console_new_delegation.py has the review without script
@pytest.mark.parametrize("page", [False], ids=["no-script"], indirect=True)
def test_without_script_the_review_comes_first_and_has_the_focus(page: Page, role: str, agent: str) -> None:
    page.goto(NEW)
    page.get_by_label("Role", exact=True).select_option(role)
    page.get_by_label("Client / Application").select_option(agent)
    page.get_by_role("button", name="Show its actions").click()
    page.get_by_role("checkbox", name="tickets:close").check()
    create(page).click()
    first = review(page).get_by_role("alert")
    expect(first).to_contain_text("Check the review, then create")
    expect(first).to_be_focused()
    expect(review(page)).to_contain_text("tickets:close")
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()


@pytest.mark.soak  # two tests before it ask axe about the page
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.soak)])
@pytest.mark.parametrize(("width", "height"), [(390, 844), pytest.param(1440, 900, marks=pytest.mark.soak)])
def test_every_state_is_accessible(
    place: Any, browse: Any, axe: Any, role: str, agent: str, scheme: str, width: int, height: int
) -> None:
    viewport = {"width": width, "height": height}
    page = browse(place.url, storage_state=place.mary, viewport=viewport, color_scheme=scheme)
    chosen = f"{NEW}?role={role}&client={agent}"

    def problems() -> list[str]:
        """As tall as the page: while it scrolls, the sticky bar may cover half of a checkbox or a button."""
        page.set_viewport_size({"width": width, "height": page.evaluate("document.documentElement.scrollHeight")})
        found: list[str] = axe(page)
        return found

    for address in (NEW, f"{chosen}&actions=all", f"{chosen}&actions=tickets:open&amount=7&unit=days"):
        page.set_viewport_size(viewport)
        page.goto(address)
        expect(create(page)).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert problems() == [], address
    page.goto(f"{chosen}&actions=all")
    page.evaluate("document.querySelector('[name=reviewed]').value = 'of another page'")
    create(page).click()
    expect(review(page).get_by_role("alert")).to_be_focused()
    assert problems() == []
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()
    page.goto(f"{chosen}&actions=all")
    expect(review(page)).to_contain_text("The trust delegation already exists")
    assert problems() == []


@pytest.mark.soak
@BRIEFLY
def test_enter_creates_nothing(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}?role={role}&client={agent}&actions=customers:read")
    page.get_by_label("Maximum Duration").fill("7")
    page.get_by_label("Maximum Duration").press("Enter")
    expect(review(page)).to_contain_text("7 hours")
    expect(page).to_have_url(re.compile("#review$"))


@pytest.mark.soak
@BRIEFLY
def test_a_new_role_is_typed_and_used(page: Page, role: str, agent: str, request: pytest.FixtureRequest) -> None:
    page.goto(f"{NEW}?client={agent}")
    page.get_by_text("New role…").click()
    page.get_by_label("Role name").fill("Typed")
    page.get_by_label("Other actions").or_(page.get_by_label("Actions", exact=True)).last.fill("no action")
    page.get_by_role("button", name="Create this role and use it").click()
    expect(page.get_by_label("Role name")).to_have_value("Typed")
    expect(page.get_by_role("alert")).to_contain_text("is not an action")
    page.get_by_label("Role name").fill(f"Typed in {request.node.callspec.id}")
    page.get_by_label("Other actions").or_(page.get_by_label("Actions", exact=True)).last.fill("reports:read")
    page.get_by_role("button", name="Create this role and use it").click()
    expect(page.get_by_text("The role is created.")).to_be_visible()
    expect(page.get_by_role("checkbox", name="reports:read")).to_be_visible()


@pytest.mark.soak  # test_console_new_delegation.py creates nothing twice by going back
@BRIEFLY
def test_after_back_the_same_is_not_created_again(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}?role={role}&client={agent}&actions=customers:read")
    create(page).click()
    expect(page.get_by_text("The trust delegation is created")).to_be_visible()
    page.go_back()
    if create(page).is_visible():  # as the browser kept it
        create(page).click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was created")
    page.get_by_role("link", name="Open the existing one").click()
    expect(page).to_have_url(re.compile(r"/console/delegations/[0-9a-f-]{36}$"))


@pytest.mark.soak  # the next test comes back to the same form
def test_after_back_the_page_shows_the_actions_and_the_client_of_the_values_that_the_browser_restored(
    page: Page, role: str, agent: str, request: pytest.FixtureRequest
) -> None:
    name = f"Agent of {request.node.name}"
    page.goto(NEW)
    page.get_by_label("Role", exact=True).select_option(role)
    page.get_by_label("Client / Application").fill(name)
    page.get_by_role("option", name=name).click()
    expect(page.get_by_role("checkbox", name="customers:read")).to_be_visible()
    page.get_by_role("link", name="Activity", exact=True).click()
    page.go_back()
    expect(page.get_by_label("Role", exact=True)).to_have_value(role)
    expect(page.get_by_role("checkbox", name="customers:read")).to_be_visible()
    expect(page.get_by_text("Choose a role first")).to_be_hidden()
    expect(page.get_by_label("Client / Application")).to_have_value(name)


@pytest.mark.soak
def test_after_back_the_chosen_actions_and_the_unit_are_those_that_were_left(page: Page, role: str, agent: str) -> None:
    page.goto(f"{NEW}?client={agent}")
    page.get_by_label("Role", exact=True).select_option(role)
    page.get_by_role("checkbox", name="customers:write").check()
    page.get_by_role("checkbox", name="tickets:close").check()
    page.get_by_label("Maximum Duration").fill("7")
    expect(review(page)).to_contain_text("7 hours")
    review(page).get_by_role("link", name="Agent of").first.click()
    page.go_back()
    expect(count_of(page)).to_have_text("2 of 3 selected")
    expect(page.get_by_role("checkbox", name="customers:read")).not_to_be_checked()
    expect(page.get_by_role("checkbox", name="tickets:close")).to_be_checked()
    expect(page.get_by_label("Unit").locator("option:checked")).to_have_text("Hours")
    expect(review(page)).to_contain_text("7 hours")


def test_the_claims_are_not_cut_by_the_review(page: Page, role: str, agent: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{NEW}?role={role}&client={agent}&actions=customers:read")
    review(page).get_by_text("Claims of its tokens").click()
    expect(review(page)).to_contain_text("delegation_ids")
    assert review(page).evaluate("card => card.scrollHeight - card.clientHeight") <= 0
