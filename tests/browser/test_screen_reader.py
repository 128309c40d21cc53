"""Steps 1 and 2 of the walk-through as a screen reader has them: Chromium's accessibility tree, from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

TOLD = {"alert", "button", "checkbox", "combobox", "dialog", "group", "heading", "link", "list", "listbox", "main"}
TOLD |= {"option", "radio", "region", "spinbutton", "status", "textbox"}
STATES = ("checked", "expanded", "focused", "invalid", "required")
UNSET = ("", "false", False, None)


def nodes(page: Page, root: str) -> Iterator[dict[str, Any]]:
    """The nodes below the first one of this role, in the order of reading. Each has its text as `text`."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    tree = {each["nodeId"]: each for each in session.send("Accessibility.getFullAXTree")["nodes"]}
    session.detach()

    def below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for child in (tree[each] for each in node.get("childIds", ()) if each in tree):
            yield child
            yield from below(child)

    top = next(each for each in tree.values() if each.get("role", {}).get("value") == root and not each["ignored"])
    for node in (top, *below(top)):
        if not node["ignored"]:
            texts = (each["name"]["value"] for each in below(node) if each.get("role", {}).get("value") == "StaticText")
            yield node | {"text": " ".join(" ".join(texts).split())}


def told(page: Page, root: str = "main", without: tuple[str, ...] = ("option",)) -> list[str]:
    """What is read out: role, name, description and states; the texts of live regions."""
    found = []
    for node in nodes(page, root):
        role, its = node["role"]["value"], {each["name"]: each["value"].get("value") for each in node["properties"]}
        if (role not in TOLD and "live" not in its) or role in without:
            continue
        is_live = its.get("live") not in UNSET
        name = node["text"] if is_live else node.get("name", {}).get("value", "")
        words = [f"{role} {its['level']}" if role == "heading" else role if role in TOLD else "live", name]
        if description := node.get("description", {}).get("value"):
            words.append(f"({description})")
        words += [state for state in STATES if its.get(state) not in UNSET]
        found.append(" ".join(filter(None, words)))
    return [each for each in found if each not in {"group", "live", "list", "status"}]


def headings(page: Page) -> list[str]:
    return [each for each in told(page) if each.startswith("heading")]


PLATFORMS = [
    "radio Kubernetes (A pod, identified by its namespace, service account or labels.)",
    "radio Docker (A container, identified by its labels or image.)",
    "radio Unix (A process, identified by its user or program.)",
    "radio SPIFFE (A workload, identified by its SPIFFE ID.)",
    "radio OpenID Connect (A CI job or cloud workload, identified by the claims of its issuer.)",
    "radio Key pair (Runs anywhere. The client signs with its own key.)",
    "radio Client secret (The last resort. The client sends a shared secret.)",
    "radio Unattested (Proves nothing. Any program can use its client_id.)",
]
KINDS = [
    "group Kind",
    "radio AI Agent (Asks for tokens and calls APIs.) checked",
    "radio MCP Server (Calls APIs itself. Its own tools are protected as an API.)",
]
ROLE = "combobox Role (A named set of actions. The agent gets some or all of them, never more.)"
CLIENT = "combobox Client / Application (The agent that gets this authority. The newest are listed first.)"


@pytest.mark.soak  # test_walkthrough has the steps by role and label, and test_every_page asks axe
def test_a_screen_reader_has_all_of_steps_1_and_2(place: Any, browse: Any, password: str) -> None:
    place.its.role("Support", "customers:read", "customers:delete")
    page = browse(place.url)
    sign_in(page, password)
    onboard(page)
    delegate(page)


def sign_in(page: Page, password: str) -> None:
    page.goto("/console/sign-in")
    email, secret, send = "textbox E-mail required", "textbox Password required", "button Sign in"
    assert told(page) == [
        "main",
        "heading 1 Sign in",
        f"{email.removesuffix(' required')} focused required",
        secret,
        send,
    ]
    page.get_by_label("E-mail").fill("mary@example.com")
    page.get_by_label("Password").fill("not the password at all")
    page.keyboard.press("Enter")
    expect(page).to_have_title("Error · Sign in · AuthSec")
    wrong = "(The e-mail address or the password is not right.) focused invalid required"
    assert told(page) == ["main", "heading 1 Sign in", email, f"textbox Password {wrong}", send]
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def onboard(page: Page) -> None:
    page.get_by_role("link", name="MCP Servers / AI Agents").click()
    page.get_by_role("link", name="Onboard New Client").click()
    head = ["dialog Onboard New Client", "heading 2 Onboard New Client", "link Close without onboarding"]
    name = "textbox AI Agent Name (For example Customer Support)"
    end = ["button + Onboard", "link Cancel"]
    assert told(page, "dialog") == [*head, *KINDS, f"{name} focused required", "group Platform", *PLATFORMS, *end]
    page.get_by_label("AI Agent Name").fill("Customer Support")
    page.get_by_role("radio", name="Kubernetes").check()
    selectors = [f"{role} of selector {number}" for number in (1, 2) for role in ("combobox Key", "textbox Value")] + [
        "button Add a selector"
    ]
    chosen = [f"{PLATFORMS[0]} checked", *PLATFORMS[1:]]
    page.get_by_role("button", name="+ Onboard").last.click()
    says = "Kubernetes needs at least one selector. Without a selector, nothing would identify the workload."
    expect(page.get_by_role("alert")).to_be_focused()
    assert told(page, "dialog") == [
        *head,
        f"alert {says} focused",
        f"link {says}",
        *KINDS,
        f"{name} required",
        "group Platform",
        *chosen,
        f"group Platform selectors ({says}) invalid",
        *selectors,
        "live Can't authenticate yet: no trusted issuer. You can go on and add it afterwards.",
        *end,
    ]
    page.get_by_label("Key of selector 1").filter(visible=True).select_option("k8s:ns")
    page.get_by_label("Value of selector 1").filter(visible=True).fill("production")
    expect(page.get_by_text("Can't authenticate yet: no trusted issuer").filter(visible=True)).to_be_visible()
    now = told(page, "dialog")
    assert "group Platform selectors" in now
    assert "live Can't authenticate yet: no trusted issuer. You can go on and add it afterwards." in now
    assert "alert" not in " ".join(now)
    page.get_by_role("radio", name="Unattested").check()
    page.get_by_role("button", name="+ Onboard").last.click()
    expect(page.get_by_role("heading", name="Customer Support")).to_be_visible()
    assert headings(page) == [
        "heading 1 Customer Support",
        "heading 2 Client ID",
        "heading 2 Next: create a trust delegation",
        "heading 2 Permissions",
        "heading 2 Proofs",
        "heading 3 Unattested",
        "heading 2 Identity",
        "heading 2 Requests per 6 hours, last 7 days",
        "heading 2 Last tokens and refusals",
    ]
    now = told(page)
    assert any(each.startswith("status The client is onboarded") for each in now)
    assert any(each.startswith("alert Unattested: the client proves nothing") for each in now)
    steps = now.index("list Steps to a token")
    assert now[steps + 1 : steps + 5] == [
        "link Identity done: Registered",
        "link Proof done, but weak: Unattested",
        "link Delegation next step: None live",
        "link Token not done: None yet",
    ]


def delegate(page: Page) -> None:
    page.goto("/console/delegations/new")
    sections = ["Define context", "Assign permissions", "Set duration", "Review"]
    assert headings(page) == ["heading 1 Create trust delegation", *(f"heading 2 {each}" for each in sections)]
    now = told(page)
    assert [each for each in now if each.startswith("region")] == [f"region {each}" for each in sections]
    assert f"{ROLE} focused" in now
    assert f"{CLIENT} required" in now
    page.get_by_label("Role", exact=True).select_option("support")
    client = page.get_by_label("Client / Application")
    client.fill("Customer")
    expect(page.get_by_role("option", name="Customer Support")).to_be_visible()
    now = told(page, without=())
    place = now.index(f"{CLIENT} expanded focused required")
    assert now[place + 1] == "listbox Clients"
    assert now[place + 2].startswith("option Customer Support Unattested")
    assert now[place + 3] == "status 1 found"
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name="customers:read")).to_be_visible()
    page.get_by_role("button", name="Create Trust Delegation").click()
    expect(page.get_by_role("alert")).to_be_focused()
    says, remedy = "No action is chosen, so the delegation would grant nothing.", "Choose at least one action."
    now = told(page)
    assert f"alert {says} {remedy} focused" in now
    assert f"group Allowed Actions ({says} {remedy}) invalid" in now
    page.get_by_role("checkbox", name="customers:read").check()
    expect(page.get_by_role("region", name="Review")).to_contain_text("1 hour")
    now = told(page)
    assert "group Allowed Actions" in now
    assert "status 1 of 2 selected" in now
    assert not any(each.startswith("alert No action") for each in now)
    assert any(each.startswith("status Review: ") for each in told(page, "RootWebArea"))
    page.get_by_role("button", name="Create Trust Delegation").click()
    expect(page.get_by_role("link", name="Support → Customer Support")).to_be_visible()
    assert any(each.startswith("status The trust delegation is created") for each in told(page))
