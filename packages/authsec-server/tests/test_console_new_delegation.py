"""The page that creates a trust delegation: nobody creates unseen, and by whichever button, nothing is lost."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from anatomy import Anatomy
from authsec.grant_url import grant_page
from long_runs import some_of, some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/delegations"
NEW = f"{LIST}/new"
ADDRESS = 8000  # bytes of an address that proxies take


@pytest.fixture
def agent(door: TestClient) -> str:
    """An unattested agent's client_id."""
    client_id: str = make(door, "clients", name="Customer Support", platform="unattested")["client_id"]
    return client_id


@pytest.fixture
def role(door: TestClient) -> str:
    """A role's slug."""
    actions = ["customers:read", "customers:write", "tickets:close"]
    slug: str = make(door, "roles", name="Support", actions=actions)["slug"]
    return slug


@pytest.fixture
def large(door: TestClient) -> list[str]:
    """The actions of a role as large as one may be, with names as long as they are in life."""
    actions = [f"customer-relations-{number:03}:records.export-all" for number in range(200)]
    make(door, "roles", name="Large", actions=actions)
    return actions


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def delegate(door: TestClient, role: str, agent: str, **what: Any) -> dict[str, Any]:
    values = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 3600} | what
    return make(door, "delegations", role=role, client=agent, **values)


def delegations(door: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = door.get(f"{API}/delegations").json()["items"]
    return found


def live(door: TestClient) -> list[dict[str, Any]]:
    return [each for each in delegations(door) if each["state"] == "live"]


def claims(page: Page) -> dict[str, Any]:
    found = re.search(r"<pre[^>]*><code>(\{.*?\})</code>", page.html, re.DOTALL)
    assert found, page.text
    told: dict[str, Any] = json.loads(unescape(found[1]))
    return told


def filled(door: TestClient, role: str, agent: str, actions: str = "customers:read", **besides: str) -> Page:
    """The page as an address fills it in."""
    return get(door, f"{NEW}?{urlencode({'role': role, 'client': agent, 'actions': actions} | besides)}")


TYPED_ROLE = {"role_name": "Reports", "role_other_actions": "reports:read\nreports:list"}
REVIEW_FIRST = "Check the review, then create Nothing is created yet."


def test_without_script_a_delegation_is_created_only_after_its_review(door: TestClient, role: str, agent: str) -> None:
    page = get(door, NEW).form().send(role=role, client=agent, show="1")
    assert (page.status, page.form().values("actions")) == (200, [])
    page = page.form().send(actions=["customers:read", "tickets:close"], amount="15", unit="minutes")
    assert page.status == 200
    assert REVIEW_FIRST in page.text
    assert page.html.index('id="review"') < page.html.index('id="context"'), "it comes first"
    assert claims(page)["scope"] == "customers:read tickets:close"
    assert delegations(door) == []
    page = page.form().send().follow()
    assert "The trust delegation is created and live." in page.text
    (made,) = delegations(door)
    assert (made["actions"], made["max_duration"]) == (["customers:read", "tickets:close"], 900)


@pytest.mark.parametrize(
    "changed",
    some_of([{"actions": ["tickets:close"]}, {"amount": "2"}, {"owner": "Ann"}, {"target_type": "MCP server"}], each=2),
)
def test_whatever_is_changed_behind_the_review_is_reviewed_first(
    door: TestClient, role: str, agent: str, changed: dict[str, Any]
) -> None:
    page = filled(door, role, agent).form().send(**changed)
    assert REVIEW_FIRST in page.text
    assert delegations(door) == []
    page.form().send()
    assert len(delegations(door)) == 1


def test_the_same_in_other_words_needs_no_second_review(door: TestClient, role: str, agent: str) -> None:
    filled(door, role, agent).form().send(amount="60", unit="minutes")
    assert delegations(door)[0]["max_duration"] == 3600


def test_what_a_role_is_given_behind_the_review_is_not_delegated(door: TestClient, role: str, agent: str) -> None:
    page = filled(door, role, agent, "all")
    edit = get(door, f"/console/roles/{role}/edit").form()
    edit.send(other_actions="customers:read\ncustomers:write\ntickets:close\ntickets:open", save="1")
    page = page.form().send()
    assert REVIEW_FIRST in page.text, "the role is another one now"
    page.form().send()
    assert delegations(door)[0]["actions"] == ["customers:read", "customers:write", "tickets:close"]
    assert "tickets:open" in filled(door, role, agent, "all").text


def test_no_address_creates_anything(door: TestClient, role: str, agent: str) -> None:
    seen = filled(door, role, agent).form().value("reviewed")
    filled(door, role, agent, reviewed=seen)
    get(door, f"{NEW}?client={agent}&role_name=Reports&role_other_actions=reports:read&make_role=1")
    assert delegations(door) == []
    assert len(door.get(f"{API}/roles").json()["items"]) == 1


def test_the_parts_for_the_script_follow_the_form(door: TestClient, role: str, agent: str) -> None:
    def parts(**changes: str | list[str]) -> dict[str, str]:
        found: dict[str, str] = json.loads(form.send(at=f"{NEW}/parts", **changes).html)
        assert [fault for part in found.values() for fault in Anatomy(part).faults] == []
        return found

    form = get(door, NEW).form()
    assert "Choose a role first." in parts()["permissions"]
    assert "Choose a role, a client and at least one action." in parts(role=role, client=agent)["review"]
    told = parts(role=role, client=agent, actions=["customers:read"])
    assert "customers:write" in told["permissions"]
    assert 'Customer Support</strong><span class="draft-terms"> · 1 action · 1 hour' in told["bar"]
    assert "Unattested" in told["client"]
    as_page = filled(door, role, agent).form().value("reviewed")
    assert f'name="reviewed" value="{as_page}"' in told["review"]
    assert (
        "must be from 1 minute to"
        in parts(role=role, client=agent, actions=["customers:read"], amount="99999")["review"]
    )
    assert delegations(door) == []


def test_a_typed_role_is_made_and_used(door: TestClient, agent: str) -> None:
    form = get(door, NEW).form()
    page = form.send(client=agent, target_type="MCP server", **TYPED_ROLE).follow()
    assert "The role is created." in page.text
    assert door.get(f"{API}/roles/reports").json()["actions"] == ["reports:list", "reports:read"]
    assert delegations(door) == []
    page.form().send(actions=["reports:read"]).form().send()
    (made,) = delegations(door)
    assert (made["actions"], made["target_type"]) == (["reports:read"], "MCP server")


def test_a_role_is_made_for_what_was_asked_for(door: TestClient, agent: str) -> None:
    page = get(door, f"{NEW}?client={agent}&actions=reports:read&actions=reports:delete")
    assert "Requested: reports:read , reports:delete ." in page.text
    page = page.form().send(make_role="1", **TYPED_ROLE).follow()
    assert page.form().values("actions") == ["reports:read"]


def test_the_page_that_a_refusal_names_is_filled_in(door: TestClient, role: str, agent: str) -> None:
    """What an API, and the authority itself, write into `grant_at`."""
    named = {"actions": ["tickets:close"], "audiences": ["https://crm.example.com"]}
    page = get(door, grant_page("", agent, roles=[role], **named)).form().send().follow()
    assert "The trust delegation is created" in page.text
    (made,) = delegations(door)
    assert (made["actions"], made["audiences"]) == (named["actions"], named["audiences"])


def test_a_role_that_lacks_what_is_asked_for_is_said_to(door: TestClient, role: str, agent: str) -> None:
    asked = f"{NEW}?client={agent}&actions=customers:delete&actions=tickets:close"
    page = get(door, asked)
    assert "Requested: customers:delete , tickets:close ." in page.text
    page = page.form().send(role=role, show="1")
    assert "This role does not have customers:delete . Choose another role, or edit this role first." in page.text
    assert page.form().values("actions") == ["customers:delete", "tickets:close"], "the first is hidden"
    make(door, "roles", name="Deleting", actions=["customers:delete"])
    page = page.form().send(role="deleting", show="1")
    assert "This role does not have tickets:close ." in page.text
    assert "Requested" not in get(door, f"{NEW}?client={agent}&role={role}&actions=all").text


@pytest.mark.parametrize(
    ("other", "field", "says"),
    some_rows_of(
        [
            ({"client": ""}, "client", "No client is chosen."),
            ({"client": "gone"}, "client", "This client does not exist"),
            ({"role_name": ""}, "role_name", "Role name must"),
            ({"role_other_actions": ""}, "role_other_actions", "There are no actions."),
            ({"role_other_actions": "reports"}, "role_other_actions", "is not an action"),
            ({"role_name": "Support"}, "role_name", "The role 'Support' already has that slug."),
            ({"role": "support"}, "role", "You chose a role and also typed a new one below."),
        ]
    ),
)
def test_whatever_keeps_a_new_role_from_being_used_all_that_was_typed_stays(
    door: TestClient, role: str, agent: str, other: dict[str, str], field: str, says: str
) -> None:
    typed = {"client": agent, "target_type": "MCP server", **TYPED_ROLE} | other
    page = get(door, f"{NEW}?amount=5").form().send(**typed)
    assert page.status in {400, 409}
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    kept = typed | {"client": "" if typed["client"] == "gone" else typed["client"]}
    assert {name: page.form().value(name) for name in (*kept, "amount")} == {**kept, "amount": "5"}
    assert len(door.get(f"{API}/roles").json()["items"]) == 1, "no role was made"


@pytest.mark.parametrize("pressed", ["find", "update", "select"])
def test_a_button_that_only_looks_keeps_a_new_role_that_was_begun(
    door: TestClient, role: str, agent: str, pressed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.choices.MOST", 1)
    make(door, "clients", name="Night Owl", platform="unattested")
    form = get(door, NEW).form().send(client_text="customer", **{pressed: "all"}, **TYPED_ROLE).form()
    assert {name: form.value(name) for name in TYPED_ROLE} == TYPED_ROLE
    assert form.value("client_text") == "customer"
    assert form.options["client"] == ["", agent]
    assert len(door.get(f"{API}/roles").json()["items"]) == 1


@pytest.mark.parametrize("pressed", some_of(["find", "show", "update", "select", ""], each=2))
def test_no_button_loses_what_is_typed(door: TestClient, role: str, agent: str, pressed: str) -> None:
    typed: dict[str, Any] = {"amount": "7", "unit": "minutes", "owner": "Ann", "excluded_proofs": ["secret"]}
    typed |= {"require_dpop": "yes", "ends_at": "soon", "description": "For nights", "target_type": "MCP server"}
    form = filled(door, role, agent).form().send(**typed, **({pressed: "all"} if pressed else {})).form()
    assert {name: form.values(name) for name in typed} == {
        name: value if isinstance(value, list) else [value] for name, value in typed.items()
    }
    assert (form.value("role"), form.value("client")) == (role, agent)


def test_select_all_works_without_script(door: TestClient, role: str, agent: str) -> None:
    form = get(door, f"{NEW}?role={role}&client={agent}&amount=5").form()
    page = form.send(select="all")
    assert page.form().values("actions") == ["customers:read", "customers:write", "tickets:close"]
    assert page.form().value("amount") == "5"
    assert page.form().send(select="none").form().values("actions") == []


def test_a_role_of_200_actions_makes_no_long_address(door: TestClient, large: list[str], agent: str) -> None:
    page = get(door, f"{NEW}?role=large&client={agent}").form().send(select="all")
    assert page.form().values("actions") == large, "the form says what was shown, to the letter"
    made = page.form().send(make_role="1", **TYPED_ROLE)
    assert len(made.location) < ADDRESS
    page.form().send()
    assert delegations(door)[0]["actions"] == large


def test_a_wrong_duration_opens_nothing_that_is_right(door: TestClient, role: str, agent: str) -> None:
    folded = '<details class="more"{}>\n        <summary>End date, proofs, DPoP, owner and description'
    assert folded.format("") in filled(door, role, agent).form().send(amount="9", unit="days").html
    assert folded.format(" open") in filled(door, role, agent).form().send(ends_at="soon").html


def test_the_same_is_not_created_twice_by_going_back(door: TestClient, role: str, agent: str) -> None:
    before = filled(door, role, agent)
    assert "is live" not in before.text
    before.form().send()
    (made,) = delegations(door)
    page = before.form().send()  # the page as the browser kept it
    assert page.status == 409
    assert "Nothing was created" in page.text
    assert page.links["Support → Customer Support"] == f"{LIST}/{made['id']}"
    assert page.html.count('id="problem"') == 1
    assert len(delegations(door)) == 1
    page = filled(door, role, agent)  # and as it is loaded anew
    assert page.status == 200
    assert "already exists The same trust delegation is live: Support → Customer Support" in page.text
    assert page.links["Open the existing one"] == f"{LIST}/{made['id']}"
    assert "Create Trust Delegation" not in page.text
    door.post(f"{API}/delegations/{made['id']}/revoke")
    assert "is live" not in filled(door, role, agent).text
    before.form().send()
    assert len(delegations(door)) == 2


def test_the_review_says_what_the_client_has_in_this_role(door: TestClient, role: str, agent: str) -> None:
    for minutes in range(1, 8):
        delegate(door, role, agent, max_duration=60 * minutes)
    page = filled(door, role, agent, amount="9", unit="minutes")
    assert "Customer Support has 7 live trust delegations in this role." in page.text
    newest = delegations(door)[0]
    assert f'href="{LIST}/{newest["id"]}"' in page.html
    assert "and 2 more" in page.links
    assert len(get(door, page.links["and 2 more"]).html.split('data-label="Owner"')) == 8
    assert "already allows the same" not in page.text, "once is enough"
    page = filled(door, role, agent, amount="7", unit="minutes")
    assert "Customer Support has 6 live trust delegations in this role." in page.text


def test_what_another_role_gives_already_is_said_with_the_way_there(door: TestClient, role: str, agent: str) -> None:
    make(door, "roles", name="Reading", actions=["customers:read"])
    other = delegate(door, "reading", agent)
    page = filled(door, role, agent)
    assert f"The delegation {other['id']} already allows the same" in page.text
    assert page.links["Open the delegation"] == f"{LIST}/{other['id']}"


def test_all_warnings_are_in_one_box(door: TestClient, role: str, agent: str) -> None:
    page = filled(door, role, agent, target_type="MCP server")
    assert page.html.count('<div class="alert') == 1
    assert '<div class="alert bad">' in page.html, "the agent is unattested"
    assert "Choose an API" not in page.links, "no API is registered"
    assert page.links["Register an API"] == "/console/apis/new"
    known = ("4 warnings", "anybody who knows its client_id", "shared audience authsec-api")
    for says in (*known, "No registered API describes", "create the trust delegation anyway"):
        assert says in page.text


def test_an_action_that_only_another_api_describes_is_a_warning(door: TestClient, role: str, agent: str) -> None:
    for name, action in (("CRM", "customers:read"), ("Desk", "tickets:close")):
        described = [{"action": action, "description": "Does it"}]
        make(door, "apis", name=name, identifier=f"https://{name.lower()}.example.com", actions=described)
    says = "The chosen API does not describe tickets:close , but another API does."
    both = [("actions", "customers:read"), ("actions", "tickets:close")]
    address = urlencode([("role", role), ("client", agent), *both, ("audiences", "https://crm.example.com")])
    assert says in get(door, f"{NEW}?{address}").text
    assert "does not describe" not in filled(door, role, agent, audiences="https://crm.example.com").text
    assert "do not describe" not in get(door, f"{NEW}?{address}&audiences=https://desk.example.com").text


def test_what_the_review_shows_is_what_the_token_says_but_for_values_in_parentheses(
    door: TestClient, role: str, agent: str
) -> None:
    page = filled(door, role, agent)
    shown = claims(page)
    assert "Values in parentheses are not known yet." in page.text
    assert "random id" not in page.text
    page.form().send()
    (made,) = delegations(door)
    assert claims(get(door, f"{LIST}/{made['id']}")) | {"jti": "", "authority_version": "", "delegation_ids": ""} == (
        shown | {"jti": "", "authority_version": "", "delegation_ids": ""}
    )
    for bracketed in (shown["jti"], shown["authority_version"], *shown["delegation_ids"]):
        assert str(bracketed).startswith("(")


@pytest.mark.parametrize("same_for", [3600, 60])
def test_the_review_says_what_the_random_id_will_settle(door: TestClient, role: str, agent: str, same_for: int) -> None:
    make(door, "roles", name="Reading", actions=["customers:read"])
    delegate(door, "reading", agent, max_duration=same_for)
    page = filled(door, role, agent)
    assert ("The new trust delegation gets a random id" in page.text) is (same_for == 3600), (
        "which counts, where both give it equally long"
    )
    page = get(door, f"{NEW}?role={role}&client={agent}&actions=customers:write&actions=tickets:close")
    assert "The new trust delegation gets a random id" in page.text, "their order"


def test_many_undescribed_actions_are_no_wall_of_names(door: TestClient, large: list[str], agent: str) -> None:
    text = filled(door, "large", agent, "all").text
    assert (
        f"No registered API describes these actions. Tokens are unaffected: {', '.join(large[:8])} and 192 more" in text
    )
    assert text.count("have no description") == 1
    assert "200 actions have no description, because no registered API lists them. You can go on without." in text
    assert "and 190 more" in text


def test_the_api_that_describes_all_chosen_actions_is_chosen(door: TestClient, role: str, agent: str) -> None:
    def api(name: str, *actions: str) -> str:
        described = [{"action": each, "description": "What it does"} for each in actions]
        made = make(door, "apis", name=name, identifier=f"https://{name.lower()}.example.com", actions=described)
        return str(made["identifier"])

    customers = api("Customers", "customers:read", "customers:write")
    api("Reading", "customers:read")
    page = get(door, f"{NEW}?role={role}&client={agent}&actions=customers:read&actions=customers:write")
    assert page.form().values("audiences") == [customers]
    assert "Chosen because it describes all chosen actions" in page.text
    assert filled(door, role, agent).form().values("audiences") == [], "two describe it"
    assert page.form().send(actions=["tickets:close"], update="1").form().values("audiences") == []
    own = page.form().send(audiences=[], update="1")
    assert own.form().values("audiences") == []
    assert own.form().send(amount="2", update="1").form().values("audiences") == [], "it stays as the person chose"
    page.form().send()
    assert delegations(door)[0]["audiences"] == [customers]


def test_the_target_type_is_that_of_the_client(door: TestClient, role: str) -> None:
    server = make(door, "clients", name="Files", platform="unattested", kind="mcp_server")["client_id"]
    assert get(door, f"{NEW}?client={server}").form().value("target_type") == "MCP server"
    named = f"{NEW}?client={server}&target_type=AutoGen+AI+agent"
    assert get(door, named).form().value("target_type") == "AutoGen AI agent"


def test_the_target_type_is_that_of_the_agents_newest_live_delegation(
    opened: House, door: TestClient, role: str, agent: str
) -> None:
    page = f"{NEW}?client={agent}"
    delegate(door, role, agent, target_type="Other AI agent")
    assert get(door, page).form().value("target_type") == "Other AI agent"
    opened.clock.at += timedelta(minutes=1)
    newest = delegate(door, role, agent, target_type="LangChain AI agent", max_duration=60)
    assert get(door, page).form().value("target_type") == "LangChain AI agent"
    door.post(f"{API}/delegations/{newest['id']}/revoke")
    assert get(door, page).form().value("target_type") == "Other AI agent"


def test_the_review_says_that_the_apis_must_accept_dpop(door: TestClient, role: str, agent: str) -> None:
    assert "must accept DPoP: after" in filled(door, role, agent, require_dpop="yes").text
    assert "must accept DPoP: after" not in filled(door, role, agent).text


def test_the_review_gives_one_reason_why_an_unattested_client_gets_no_token(
    door: TestClient, role: str, agent: str
) -> None:
    review = filled(door, role, agent, require_dpop="yes").text
    assert review.count("is unattested, so it gets no token by this delegation, which requires DPoP") == 1
    assert "No token would be issued: The trust delegation" not in review


def test_the_combobox_finds_clients_by_name_and_id(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.creation.SUGGESTIONS", 2)
    ids = [
        make(door, "clients", name=f"<b>Agent {letter}", slug=f"agent-{letter}", platform="unattested")["client_id"]
        for letter in "abc"
    ]

    def found(text: str) -> tuple[list[str], bool]:
        answer = door.get(f"{NEW}/clients", params={"q": text}).json()
        assert "<b>" not in answer["options"]
        assert Anatomy(answer["options"]).faults == []
        return re.findall(r'data-value="([^"]+)"', answer["options"]), answer["more"]

    listed, more = found("")
    assert (len(listed), more) == (2, True)
    assert found("agent a") == (ids[:1], False)
    assert found(ids[1][:8]) == ([ids[1]], False)
    assert found("nobody") == ([], False)
    assert "Unattested" in door.get(f"{NEW}/clients").json()["options"]


def test_a_form_of_nonsense_says_what_is_wrong(door: TestClient, role: str, agent: str) -> None:
    page = post(door, NEW, [("role", "gone"), ("client", agent), ("actions", "all")])
    assert page.status == 400
    assert "This role does not exist" in page.text
    for path in (NEW, f"{NEW}/parts"):
        assert post(door, path, [("role", role), ("role", role)]).status == 400


def test_a_delegation_that_is_over_is_created_again(opened: House, door: TestClient, role: str, agent: str) -> None:
    chosen = {
        "actions": ["customers:read", "tickets:close"],
        "max_duration": 5400,
        "owner": "Ann",
        "audiences": ["crm"],
    }
    chosen |= {"target_type": "MCP server", "excluded_proofs": ["secret"], "description": "For nights"}
    chosen |= {"require_dpop": True}
    ends = {"revoked": "2027-11-25T13:00:00Z", "ended": "2026-11-25T13:00:00Z"}
    made = {state: delegate(door, role, agent, ends_at=ends_at, **chosen)["id"] for state, ends_at in ends.items()}
    assert "Create again" not in get(door, f"{LIST}/{made['revoked']}").links
    door.post(f"{API}/delegations/{made['revoked']}/revoke")
    opened.clock.at += timedelta(hours=2)
    for state, delegation in made.items():
        page = get(door, get(door, f"{LIST}/{delegation}").links["Create again"])
        assert live(door) == [], "an address creates nothing"
        assert page.form().value("ends_at") == ("2027-11-25T13:00" if state == "revoked" else "")
        page.form().send()
        (again,) = live(door)
        assert {name: again[name] for name in chosen} == chosen
        assert again["id"] not in made.values()
        door.post(f"{API}/delegations/{again['id']}/revoke")


def test_what_a_role_lost_is_not_created_again(door: TestClient, role: str, agent: str) -> None:
    old = delegate(door, role, agent, actions=["customers:read", "tickets:close"])["id"]
    door.post(f"{API}/delegations/{old}/revoke")
    edit = get(door, f"/console/roles/{role}/edit").form()
    edit.send(other_actions="customers:read\ncustomers:write", save="1")
    page = get(door, f"{NEW}?again={old}")
    assert "This role does not have tickets:close ." in page.text
    page.form().send()
    assert [each["actions"] for each in live(door)] == [["customers:read"]]
