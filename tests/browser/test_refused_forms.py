"""Whatever a form refuses stands at its field, in words and for screen readers; what was typed is kept.

The focus goes to the summary, whose link leads to the field; where there is nothing but the form, to the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from authsec.jose import PrivateKey
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = pytest.mark.soak  # the tests of each page refuse the same without a browser

UNSEEN = "Pay\u202eroll"  # has a character that turns the text round
HIDDEN = "has control or invisible characters"
PAST = "2020-01-31T18:00"
KEY = PrivateKey.generate_ed25519().public.to_pem().decode().strip()
# As a browser that checks nothing itself; and with what is folded away opened.
BARE = """() => {
  for (const form of document.forms) form.noValidate = true;
  for (const folded of document.querySelectorAll("main details, dialog details")) folded.open = true;
}"""


@dataclass(frozen=True, slots=True)
class Case:
    """What is typed into a form, and what is said where. `choose` is a radio button; `first` is pressed first.

    Without a `button`, the Enter key sends the form.
    """

    path: str
    button: str
    wrong: str
    says: str
    typed: Mapping[str, str] = field(default_factory=dict)
    choose: str = ""
    first: str = ""

    def __str__(self) -> str:
        return f"{self.path.partition('?')[0].removeprefix('/console/')}: {self.wrong}"


def role(form: tuple[str, str]) -> list[Case]:
    return [
        Case(*form, "Name", HIDDEN, {"Name": UNSEEN}),
        Case(*form, "Other actions", "is not an action", {"Name": "Fine", "Other actions": "a:b\npayroll"}),
    ]


def api(form: tuple[str, str]) -> list[Case]:
    good = {"Name": "Fine", "Audience": "fine"}
    action, meaning = "Action 1", "What action 1 lets an agent do"
    return [
        Case(*form, "Name", HIDDEN, good | {"Name": UNSEEN}),
        Case(*form, "Audience", "is not an audience", good | {"Audience": "not an audience"}),
        Case(*form, action, "is not an action", good | {action: "payroll", meaning: "Pays"}),
        Case(*form, meaning, "must not be empty", good | {action: "a:b", meaning: ""}),
    ]


def proof(form: tuple[str, str], typed: dict[str, str]) -> list[Case]:
    key, rows = "Key of selector 1", {"Key of selector 1": "k8s:ns", "Value of selector 1": "Production"}
    return [
        Case(*form, "Platform", "Choose the platform", typed),
        Case(*form, "Platform selectors", "at least one selector", typed, choose="Docker"),
        Case(*form, key, "is not a valid value of k8s:ns", typed | rows, choose="Kubernetes"),
        Case(*form, "Public key", "cannot be used", typed | {"Public key": "no key"}, choose="Key pair"),
    ]


def delegation(form: tuple[str, str]) -> list[Case]:
    return [
        Case(*form, "Maximum Duration", "must be from 1 minute to", {"Maximum Duration": "99999"}),
        Case(*form, "Ends", "must be a future date", {"Ends": PAST}),
        Case(*form, "Owner", HIDDEN, {"Owner": UNSEEN}),
    ]


def once_more(cases: list[Case]) -> list[Any]:
    """Cases of a form that another page has, too: here, one shows that the form is the same."""
    return [cases[0], *(pytest.param(case, marks=pytest.mark.soak) for case in cases[1:])]


NEW, CHOSEN = "/console/delegations/new", "role=paying&client=payer"
ROLE = ("/console/roles/new", "Create role")
NEW_ROLE = (NEW, "Create this role and use it")
CREATE = "Create Trust Delegation"
DELEGATION = (f"{NEW}?{CHOSEN}&actions=payroll:read", CREATE)
EDIT = ("/console/delegations/{delegation}/edit", "Review the changes")
ONBOARD = ("/console/clients/onboard", "+ Onboard")
CLIENT = ("/console/clients/{client}/edit", "Save")
ADD_PROOF = ("/console/clients/{client}/proofs/add", "Add proof")
INVITE = ("/console/administrators/invite", "Invite administrator")
NEW_KEY = ("/console/administrators/keys/new", "Create admin key")
PASSWORD = ("/console/account", "Change password")
SET_UP = ("/console/set-up?code={code}", "Set password and sign in")
FILTER = ("/console/activity", "")
AGENT = "AI Agent Name"
CASES: list[Any] = [
    *role(ROLE),
    Case(*ROLE, "Slug", "lower-case", {"Name": "Fine", "Slug": "Not One"}),
    *once_more(role(("/console/roles/paying/edit", "Save"))),
    *api(("/console/apis/new", "Register")),
    *once_more(api(("/console/apis/payroll/edit", "Save"))),
    *proof(ONBOARD, {AGENT: "Fine"}),
    Case(*ONBOARD, AGENT, HIDDEN, {AGENT: UNSEEN}, choose="Unattested"),
    Case(*ONBOARD, "Labels", "is not a label", {AGENT: "Fine", "Labels": "team"}, choose="Unattested"),
    Case(*CLIENT, AGENT, HIDDEN, {AGENT: UNSEEN}),
    Case(*CLIENT, "Slug", "lower-case", {"Slug": "Not One"}),
    Case(*CLIENT, "Labels", "not a valid label name", {"Labels": "TEAM=a"}),
    *once_more(proof(ADD_PROOF, {})),
    Case(*ADD_PROOF, "Ends", "must be in the future", {"Public key": KEY, "Ends": PAST}, choose="Key pair"),
    Case(*NEW_ROLE, "Role name", HIDDEN, {"Role name": UNSEEN, "Other actions": "a:b"}),
    Case(*NEW_ROLE, "Other actions", "is not an action", {"Role name": "Fine", "Other actions": "payroll"}),
    Case(NEW, CREATE, "Role", "No role is chosen"),
    Case(f"{NEW}?role=paying", CREATE, "Client / Application", "No client is chosen"),
    Case(f"{NEW}?{CHOSEN}", CREATE, "Allowed Actions", "No action is chosen"),
    *delegation(DELEGATION),
    *once_more(delegation(EDIT)),
    Case(*EDIT, "Allowed Actions", "No actions were given", first="Select None"),
    Case(*INVITE, "Name", HIDDEN, {"Name": UNSEEN, "E-mail": "new@example.com"}),
    Case(*INVITE, "E-mail", "e-mail address", {"Name": "New", "E-mail": "nobody"}),
    Case("/console/administrators/{mary}", "Save", "Name", HIDDEN, {"Name": UNSEEN}),
    Case(*NEW_KEY, "Name", HIDDEN, {"Name": UNSEEN}),
    Case(*NEW_KEY, "Days until it expires", "1 to 3650", {"Name": "New", "Days until it expires": "4000"}),
    Case(*FILTER, "Client", "No client has this name", {"Client": "nobody"}),
    Case(*PASSWORD, "Current password", "not your current password", {"Current password": "wrong"}),
    Case(*PASSWORD, "New password again", "differ", {"New password again": "other"}),
    Case(*SET_UP, "Password", "A password", {"Password": "short", "Password again": "short"}),
]
FOCUS_AT_THE_FIELD = {PASSWORD[0], SET_UP[0], FILTER[0]}  # two have no summary, and a filter keeps the focus
# Whichever field is wrong, a form says it in the same markup.
FIRST = {case.path: case for case in reversed(CASES) if isinstance(case, Case)}
# Some kinds in every run, each field of each form in long ones; test_console_*.py have the markup of them all.
KINDS = {
    "clients/onboard: Platform",
    "delegations/new: Maximum Duration",
    "account: Current password",
}


def every_case() -> list[Any]:
    """Those of `CASES`, most of them for long runs."""
    assert {str(case) for case in CASES if isinstance(case, Case)} >= KINDS
    return [
        case if str(case) in KINDS or not isinstance(case, Case) else pytest.param(case, marks=pytest.mark.soak)
        for case in CASES
    ]


@pytest.fixture(scope="module")
def names(place: Any) -> dict[str, str]:
    """What the addresses need: a role, an API, a client, a delegation, a person, a link that nobody used."""
    its = place.its
    described = [{"action": "payroll:read", "description": "Read what is paid."}]
    its.post("apis", name="Payroll", identifier="payroll", actions=described)
    agent, paying = its.agent("Payer"), its.role("Paying", "payroll:read")
    invited = its.post("administrators", name="Cy", email="cy@example.com", role="viewer")
    return {
        "client": agent.client_id,
        "delegation": its.delegate(paying, agent, "payroll:read"),
        "mary": its.admin.get("administrators/mary@example.com").json()["id"],
        "code": invited["link"]["url"].partition("code=")[2],
    }


def named(page: Page, name: str) -> Locator:
    """The field or the group of fields that is called so."""
    label = re.compile(rf"^{re.escape(name)}(MCP Server Name)?( optional)?$")  # which is there, too, and not shown
    form = page.locator("main, dialog").last
    return form.get_by_label(label).or_(form.get_by_role("group", name=name, exact=True)).filter(visible=True)


def put(field: Locator, text: str) -> None:
    """Type the text, or choose the option."""
    if field.evaluate("field => field.tagName") == "SELECT":
        field.select_option(text)
    else:
        field.fill(text)


@pytest.mark.parametrize("case", every_case(), ids=str)
def test_a_form_says_what_is_wrong_where_it_is_wrong(place: Any, names: Any, browse: Any, axe: Any, case: Case) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto(case.path.format(**names))
    page.evaluate(BARE)
    if case.choose:
        page.get_by_role("radio", name=case.choose).check()
    for label, text in case.typed.items():
        put(named(page, label), text)
    for button in filter(None, (case.first, case.button)):
        page.get_by_role("button", name=button, exact=True).click()
    if not case.button:
        page.keyboard.press("Enter")

    wrong = named(page, case.wrong)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_accessible_description(re.compile(re.escape(case.says)))
    expect(page).to_have_title(re.compile("^Error · "))
    for label, text in case.typed.items():
        if named(page, label).get_attribute("type") != "password":  # these are never sent back
            expect(named(page, label)).to_have_value(text)
    if case is FIRST[case.path]:
        assert axe(page) == []
    if case.path not in FOCUS_AT_THE_FIELD:
        summary = page.get_by_role("alert").filter(has_text=case.says)
        expect(summary).to_be_focused()
        summary.get_by_role("link").filter(has_text=case.says).first.click()
    expect(wrong).to_be_focused()


def test_a_problem_disappears_while_its_field_differs_from_the_refused_value(
    place: Any, names: Any, browse: Any, axe: Any
) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/roles/new")
    name = named(page, "Name")
    name.fill(UNSEEN)
    named(page, "Other actions").fill("a:b")
    page.get_by_role("button", name="Create role").click()
    summary = page.get_by_role("alert").filter(has_text=HIDDEN)
    problem = page.locator("#field-name-problem")
    expect(summary).to_be_visible()
    named(page, "Other actions").fill("a:b\nc:d")  # another field solves nothing
    expect(summary).to_be_visible()
    expect(problem).to_be_visible()
    name.press_sequentially(" roll")
    expect(summary).to_be_hidden()
    expect(problem).to_be_hidden()
    expect(name).not_to_have_attribute("aria-invalid", "true")
    expect(name).to_be_focused()
    expect(page).to_have_title(re.compile("^Create role|^New role"))
    assert axe(page) == []
    name.fill(UNSEEN)
    expect(summary).to_be_visible()
    expect(problem).to_be_visible()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(page).to_have_title(re.compile("^Error · "))


def refused(page: Page, summary: str) -> Locator:
    """The summary, which is shown."""
    found = page.get_by_role("alert").filter(has_text=summary)
    expect(found).to_be_visible()
    return found


def test_a_problem_of_a_group_disappears_with_a_choice(place: Any, names: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/clients/onboard")
    page.evaluate(BARE)
    page.get_by_label("AI Agent Name").fill("Fine")
    page.get_by_role("button", name="+ Onboard").last.click()
    summary = refused(page, "Choose the platform")
    page.get_by_role("radio", name="Kubernetes").check()
    expect(summary).to_be_hidden()
    page.get_by_role("button", name="+ Onboard").last.click()
    summary = refused(page, "at least one selector")
    page.get_by_label("Key of selector 1").filter(visible=True).select_option("k8s:ns")
    expect(summary).to_be_hidden()
    page.get_by_label("Value of selector 1").filter(visible=True).fill("Production")
    page.get_by_role("button", name="+ Onboard").last.click()
    summary = refused(page, "is not a valid value of k8s:ns")
    page.get_by_label("Value of selector 1").filter(visible=True).fill("production")
    expect(summary).to_be_hidden()
    expect(page.get_by_label("Value of selector 1").filter(visible=True)).not_to_have_attribute("aria-invalid", "true")


def test_the_problems_of_a_new_delegation_disappear_one_by_one(place: Any, names: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto(f"{NEW}?role=paying")
    page.evaluate(BARE)
    page.get_by_role("button", name=CREATE).click()
    summary = refused(page, "No client is chosen")
    expect(summary).to_contain_text("2 problems")
    client = page.get_by_label("Client / Application")
    client.fill("Payer")
    page.get_by_role("option", name="Payer").click()
    expect(summary).to_contain_text("1 problem")
    expect(summary.get_by_role("link")).to_have_text("No action is chosen, so the delegation would grant nothing.")
    expect(client).not_to_have_attribute("aria-invalid", "true")
    page.get_by_role("checkbox", name="payroll:read").check()
    expect(summary).to_be_hidden()
    page.get_by_label("Maximum Duration").fill("90")
    page.get_by_label("Unit").select_option("days")
    page.evaluate(BARE)
    page.get_by_role("button", name=CREATE).click()
    summary = refused(page, "must be from 1 minute to")
    page.get_by_label("Unit").select_option("minutes")
    expect(summary).to_be_hidden()
    expect(page.locator("#field-amount-problem")).to_be_hidden()
    expect(page.get_by_role("region", name="Review")).to_contain_text("1 hour 30 minutes")


def test_a_problem_disappears_though_its_field_changed_before_the_script_ran(
    place: Any, names: Any, browse: Any
) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/roles/new")
    named(page, "Name").fill(UNSEEN)
    named(page, "Other actions").fill("a:b")
    held: list[Route] = []
    page.route("**/problems.js", lambda route: held.append(route))
    page.get_by_role("button", name="Create role").click(no_wait_after=True)
    summary = refused(page, HIDDEN)
    named(page, "Name").fill("Payroll")
    expect(summary).to_be_visible()
    for route in held:
        route.continue_()
    expect(summary).to_be_hidden()


def test_without_a_script_a_problem_stays(place: Any, names: Any, browse: Any) -> None:
    page = browse(place.url, storage_state=place.mary, java_script_enabled=False)
    page.goto("/console/roles/new")
    named(page, "Name").fill(UNSEEN)
    named(page, "Other actions").fill("a:b")
    page.get_by_role("button", name="Create role").click()
    named(page, "Name").fill("Payroll")
    expect(page.get_by_role("alert").filter(has_text=HIDDEN)).to_be_visible()
    expect(page.locator("#field-name-problem")).to_be_visible()
