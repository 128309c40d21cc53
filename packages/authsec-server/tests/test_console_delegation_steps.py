"""The four steps that create a trust delegation: by whichever button one leaves a step, nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from authsec.grant_url import grant_page
from long_runs import some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/delegations"
NEW = f"{LIST}/new"
ADDRESS = 8000  # bytes of an address that proxies take


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    client: TestClient = opened.door()
    return client


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


def claims(page: Page) -> dict[str, Any]:
    found = re.search(r"<pre[^>]*><code>(\{.*?\})</code>", page.html, re.DOTALL)
    assert found, page.text
    told: dict[str, Any] = json.loads(unescape(found[1]))
    return told


TYPED_ROLE = {"role_name": "Reports", "role_other_actions": "reports:read\nreports:list"}


def test_going_on_with_a_new_role_typed_makes_it_and_goes_on_with_it(door: TestClient, agent: str) -> None:
    form = get(door, NEW).form()
    page = form.send(to="actions", client=agent, target_type="MCP server", **TYPED_ROLE).follow()
    assert page.path == f"{NEW}/actions"
    assert "The role is created." in page.text
    assert "Customer Support may do in the role Reports" in page.text
    assert door.get(f"{API}/roles/reports").json()["actions"] == ["reports:list", "reports:read"]
    page = page.form().send(actions=["reports:read"]).follow().form().send().follow().form().send().follow()
    assert "The trust delegation is created" in page.text
    assert delegations(door)[0]["target_type"] == "MCP server"


def test_the_page_that_a_refusal_names_is_filled_in(door: TestClient, role: str, agent: str) -> None:
    """What an API, and the authority itself, write into `grant_at`."""
    named = {"actions": ["tickets:close"], "audiences": ["https://crm.example.com"]}
    page = get(door, grant_page("", agent, roles=[role], **named))
    for _ in range(4):
        page = page.form().send().follow()
    assert "The trust delegation is created" in page.text
    (made,) = delegations(door)
    assert (made["actions"], made["audiences"]) == (named["actions"], named["audiences"])


def test_a_role_that_does_not_hold_what_is_asked_for_is_said_to_be_one(door: TestClient, role: str, agent: str) -> None:
    asked = f"{NEW}?client={agent}&actions=customers:delete&actions=tickets:close"
    assert "Requested: customers:delete , tickets:close ." in get(door, asked).text
    text = get(door, f"{asked}&role={role}").text
    assert "This role does not have customers:delete . Choose another role, or edit this role first." in text
    assert "asked for" not in get(door, f"{NEW}?client={agent}&role={role}&actions=all").text.lower()


@pytest.mark.parametrize(
    ("other", "field", "says"),
    some_rows_of(
        [
            ({"client": ""}, "client", "No client is chosen."),
            ({"client": "gone"}, "client", "This client does not exist"),
            ({"role_name": ""}, "role_name", "Name must"),
            ({"role_other_actions": ""}, "role_other_actions", "There are no actions."),
            ({"role_other_actions": "reports"}, "role_other_actions", "is not an action"),
            ({"role_name": "Support"}, "role_name", "belongs to the role"),
            ({"role": "support"}, "role", "You chose a role and also typed a new one below."),
        ]
    ),
)
def test_whatever_keeps_a_new_role_from_being_used_all_that_was_typed_stays(
    door: TestClient, role: str, agent: str, other: dict[str, str], field: str, says: str
) -> None:
    typed = {"client": agent, "target_type": "MCP server", **TYPED_ROLE} | other
    page = get(door, f"{NEW}?amount=5").form().send(to="actions", **typed)
    assert page.status == 400
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    kept = typed | {"client": "" if typed["client"] == "gone" else typed["client"]}
    assert {name: page.form().value(name) for name in (*kept, "amount")} == {**kept, "amount": "5"}
    assert len(door.get(f"{API}/roles").json()["items"]) == 1, "no role was made"


def test_looking_again_keeps_a_new_role_that_was_begun(
    door: TestClient, role: str, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.steps.MOST", 1)
    make(door, "clients", name="Night Owl", platform="unattested")
    form = get(door, NEW).form().send(client_text="customer", to="context", **TYPED_ROLE).form()
    assert {name: form.value(name) for name in TYPED_ROLE} == TYPED_ROLE
    assert form.value("client_text") == "customer"
    assert form.options["client"] == ["", agent]


def test_what_was_looked_for_is_kept_where_no_role_is_chosen(
    door: TestClient, role: str, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.steps.MOST", 1)
    make(door, "clients", name="Night Owl", platform="unattested")
    page = get(door, NEW).form().send(client_text="customer", to="actions", client=agent)
    assert "No role is chosen." in page.text
    assert (page.form().value("client_text"), page.form().value("client")) == ("customer", agent)


def test_back_from_the_permissions_keeps_what_is_ticked(door: TestClient, role: str, agent: str) -> None:
    page = get(door, f"{NEW}/actions?role={role}&client={agent}&amount=5")
    page = page.form().send(actions=["customers:read", "tickets:close"], to="context").follow()
    assert (page.path, page.form().value("role"), page.form().value("amount")) == (NEW, role, "5")
    page = page.form().send(to="actions").follow()
    assert page.form().values("actions") == ["customers:read", "tickets:close"]


@pytest.mark.parametrize("to", ["actions", "context"])
def test_back_from_the_duration_keeps_what_is_typed(door: TestClient, role: str, agent: str, to: str) -> None:
    typed: dict[str, Any] = {"amount": "7", "unit": "minutes", "owner": "Ann", "excluded_proofs": ["secret"]}
    page = get(door, f"{NEW}/duration?role={role}&client={agent}&actions=customers:read")
    page = page.form().send(to=to, description="For nights", ends_at="soon", **typed).follow()
    assert page.status == 200, "what is wrong on a step that one leaves to go back can be mended there later"
    while page.path != f"{NEW}/duration":
        page = page.form().send().follow()
    form = page.form()
    assert (form.value("amount"), form.value("unit"), form.value("owner")) == ("7", "minutes", "Ann")
    assert (form.value("description"), form.value("ends_at")) == ("For nights", "soon")
    assert form.values("excluded_proofs") == ["secret"]


def test_of_another_role_only_what_it_holds_stays_ticked(door: TestClient, role: str, agent: str) -> None:
    make(door, "roles", name="Reading", actions=["customers:read", "invoices:read"])
    page = get(door, f"{NEW}?role={role}&client={agent}&actions=customers:read&actions=tickets:close")
    page = page.form().send(role="reading", to="actions").follow()
    assert page.form().values("actions") == ["customers:read"]


def test_a_role_of_200_actions_makes_no_long_address(door: TestClient, large: list[str], agent: str) -> None:
    page, addresses = get(door, f"{NEW}?role=large&client={agent}"), []

    def sent(**pressed: str) -> Page:
        answer = page.form().send(**pressed)
        addresses.append(answer.location)
        return answer.follow()

    page = sent(to="actions")
    page = sent(select="all")
    assert page.form().values("actions") == large
    page = sent(to="context")
    page = sent(to="actions")
    page = sent(to="duration")
    page = sent(to="actions")
    page = sent(to="duration")
    page = sent()
    assert page.path == f"{NEW}/review"
    addresses += [page.links["Set duration"], page.links["Back"]]
    assert max(map(len, addresses)) < ADDRESS, "what 200 names would make"
    assert all("actions=all" in each for each in addresses[1:])
    assert page.form().values("actions") == large, "the last form says what was shown, to the letter"
    page.form().send()
    assert delegations(door)[0]["actions"] == large


def test_what_a_role_is_given_behind_the_review_is_not_delegated(door: TestClient, role: str, agent: str) -> None:
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=all")
    edit = get(door, f"/console/roles/{role}/edit").form()
    edit.send(other_actions="customers:read\ncustomers:write\ntickets:close\ntickets:open", save="1")
    page.form().send()
    assert delegations(door)[0]["actions"] == ["customers:read", "customers:write", "tickets:close"]
    assert "tickets:open" in get(door, f"{NEW}/review?role={role}&client={agent}&actions=all").text


def test_a_duration_that_is_too_long_opens_nothing_that_is_right(door: TestClient, role: str, agent: str) -> None:
    address = f"{NEW}/duration?role={role}&client={agent}&actions=customers:read&check=1"
    assert '<details class="more">' in get(door, f"{address}&amount=9&unit=days").html
    assert '<details class="more" open>' in get(door, f"{address}&ends_at=soon").html


def test_the_same_is_not_created_twice_by_going_back(door: TestClient, role: str, agent: str) -> None:
    review = f"{NEW}/review?role={role}&client={agent}&actions=customers:read"
    before = get(door, review)
    assert "is live" not in before.text
    before.form().send()
    (made,) = delegations(door)
    page = before.form().send()  # the page as the browser kept it
    assert page.status == 409
    assert "Nothing was created" in page.text
    assert page.links["Support → Customer Support"] == f"{LIST}/{made['id']}"
    assert page.html.count('id="problem"') == 1
    assert len(delegations(door)) == 1
    page = get(door, review)  # and as it is loaded anew
    assert page.status == 200
    assert (
        "The trust delegation already exists The same trust delegation is live: Support → Customer Support" in page.text
    )
    assert page.links["Open the existing one"] == f"{LIST}/{made['id']}"
    assert "Create Trust Delegation" not in page.text
    door.post(f"{API}/delegations/{made['id']}/revoke")
    assert "is live" not in get(door, review).text
    before.form().send()
    assert len(delegations(door)) == 2


def test_the_review_says_what_the_client_has_in_this_role(door: TestClient, role: str, agent: str) -> None:
    for minutes in range(1, 8):
        delegate(door, role, agent, max_duration=60 * minutes)
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:read&amount=9&unit=minutes")
    assert "Customer Support has 7 live trust delegations in this role." in page.text
    newest = delegations(door)[0]
    assert f'href="{LIST}/{newest["id"]}"' in page.html
    assert "and 2 more" in page.links
    assert len(get(door, page.links["and 2 more"]).html.split('data-label="Maximum"')) == 8
    assert "already allows the same" not in page.text, "once is enough"
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:read&amount=7&unit=minutes")
    assert "Customer Support has 6 live trust delegations in this role." in page.text


def test_what_another_role_gives_already_is_said_with_the_way_there(door: TestClient, role: str, agent: str) -> None:
    make(door, "roles", name="Reading", actions=["customers:read"])
    other = delegate(door, "reading", agent)
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:read")
    assert f"The delegation {other['id']} already allows the same" in page.text
    assert page.links["Open the delegation"] == f"{LIST}/{other['id']}"


def test_what_the_review_shows_is_what_the_token_says_but_for_values_in_parentheses(
    door: TestClient, role: str, agent: str
) -> None:
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:read")
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
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:read")
    assert ("The new trust delegation gets a random id." in page.text) is (same_for == 3600), (
        "which counts, where both give it equally long"
    )
    page = get(door, f"{NEW}/review?role={role}&client={agent}&actions=customers:write&actions=tickets:close")
    assert "The new trust delegation gets a random id." in page.text, "their order"


def test_many_undescribed_actions_are_no_wall_of_names(door: TestClient, large: list[str], agent: str) -> None:
    text = get(door, f"{NEW}/review?role=large&client={agent}&actions=all").text
    assert f"No API describes these actions: {', '.join(large[:8])} and 192 more" in text


def test_no_step_makes_anything_for_an_address_alone(door: TestClient, role: str, agent: str) -> None:
    get(door, f"{NEW}/actions?client={agent}&role_name=Reports&role_other_actions=reports:read&make_role=1")
    get(door, f"{NEW}?client={agent}&role_name=Reports&role_other_actions=reports:read&make_role=1")
    assert len(door.get(f"{API}/roles").json()["items"]) == 1


def test_an_address_of_a_step_that_is_sent_nonsense_goes_on(door: TestClient, role: str, agent: str) -> None:
    page = post(door, f"{NEW}/duration", [("to", "nowhere"), ("role", "gone"), ("actions", "all")]).follow().follow()
    assert page.path == NEW
    assert "There is no such role" in page.text or "No client is chosen" in page.text
