"""Roles & Actions in the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authsec_server.principal import LOCAL_OPERATOR, Role
from long_runs import some_rows_of
from pages import get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/roles"
MARKUP = "<script>alert(1)</script>\"'&"
TOKEN = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of the operator at whose machine the authority runs."""
    client: TestClient = house(local_operator=True).door()
    return client


@pytest.fixture
def role(door: TestClient) -> dict[str, Any]:
    """A role of two actions that two APIs describe, and one that none does."""
    read = {"action": "customers:read", "description": "Read customer records"}
    write = {"action": "customers:write", "description": "Change customer records"}
    make(door, "apis", name="Customer API", identifier="https://customers.example.com", actions=[read, write])
    also = {"action": "customers:read", "description": "See whom an invoice is for"}
    make(door, "apis", name="Billing", identifier="billing-api", actions=[also])
    return make(door, "roles", name="Support", actions=["customers:read", "customers:write", "tickets:close"])


@pytest.fixture
def delegation(door: TestClient, role: dict[str, Any]) -> dict[str, Any]:
    """A delegation of all of it to an unattested agent."""
    make(door, "clients", name="Night Owl", platform="unattested")
    what = {"target_type": "AutoGen AI agent", "all_actions": True, "max_duration": 3600}
    return make(door, "delegations", role=role["slug"], client="night-owl", **what)


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stored(door: TestClient, role: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"{API}/roles/{role['id']}").json()
    return found


def test_an_empty_list_says_what_a_role_is(door: TestClient) -> None:
    page = get(door, LIST)
    assert "A role is a named set of actions" in page.text
    assert page.links["Create role"] == f"{LIST}/new"


def test_the_list_shows_actions_and_live_delegations(door: TestClient, delegation: dict[str, Any]) -> None:
    make(door, "roles", name="Reports", actions=["reports:read"])
    page = get(door, LIST)
    assert "Support support customers:read, customers:write, tickets:close 1" in page.text
    assert "Reports reports reports:read none" in page.text
    assert "Support" not in get(door, f"{LIST}?q=REP").links
    assert "Nothing matches. Search for another part of the name." in get(door, f"{LIST}?q=%00").text


def test_the_list_and_the_page_agree_when_a_role_was_changed(door: TestClient, role: dict[str, Any]) -> None:
    def shown() -> tuple[bool, bool]:
        listed, page = get(door, LIST).text, get(door, f"{LIST}/{role['slug']}").text
        return "never" in listed, "Last changed never" in page

    assert shown() == (True, True)
    get(door, f"{LIST}/{role['slug']}/edit").form().send(description="Reads the books")
    assert shown() == (False, False)


def test_the_list_comes_in_pages(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.console.roles.PAGE", 1)
    for name in ("Alpha", "Beta"):
        make(door, "roles", name=name, actions=["a:b"])
    page = get(door, LIST)
    assert "Alpha" in page.links
    assert "Beta" not in page.links
    assert "Beta" in get(door, page.links["Next page"]).links


def test_a_role_says_what_its_actions_mean_and_who_has_it(door: TestClient, delegation: dict[str, Any]) -> None:
    door.get(f"{TOKEN}?client_id={delegation['client']['id']}&scope=customers:read")
    page = get(door, f"{LIST}/support")
    meaning = "customers:read See whom an invoice is for at Billing Read customer records at Customer API in 1 token"
    assert meaning in page.text
    assert "tickets:close No registered API describes this action. not used" in page.text
    assert page.links["Night Owl"] == f"/console/clients/{delegation['client']['id']}"
    assert "Unattested" in page.text
    assert page.links["Create trust delegation"] == "/console/delegations/new?role=support"


def test_a_role_is_made_of_ticked_and_written_actions(door: TestClient, role: dict[str, Any]) -> None:
    page = get(door, f"{LIST}/new")
    assert "See whom an invoice is for at Billing" in page.text
    page = page.form().send(
        name="Night shift", description="Quiet", actions=["customers:read"], other_actions="a:b, c:d\ne:f"
    )
    page = page.follow()
    assert page.path == f"{LIST}/night-shift"
    assert "The role is created." in page.text
    made = door.get(f"{API}/roles/night-shift").json()
    assert made["actions"] == ["a:b", "c:d", "customers:read", "e:f"]
    assert made["description"] == "Quiet"


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    some_rows_of(
        [
            ({"name": ""}, "name", "Name must not be empty"),
            ({"slug": "Not One"}, "slug", "Slug must be 1 to 63"),
            ({"slug": "support"}, "slug", "belongs to the role 'Support'"),
            ({"description": "d" * 2001}, "description", "at most 2000"),
            ({"other_actions": ""}, "other_actions", "There are no actions."),
            (
                {"other_actions": "a:b\nWrong\n\nx:*"},
                "other_actions",
                "Line 2: 'Wrong' is not an action: it has no colon.",
            ),
            (
                {"other_actions": "a:b\nWrong\n\nx:*"},
                "other_actions",
                "Line 4: 'x:*' is not an action: wildcards are not",
            ),
            ({"other_actions": "\n".join(f"a:b{i}" for i in range(201))}, "other_actions", "more than 200 actions"),
        ]
    ),
)
def test_what_is_wrong_in_a_new_role_stands_at_its_field(
    door: TestClient, role: dict[str, Any], typed: dict[str, str], field: str, says: str
) -> None:
    filled = {"name": "Mine", "other_actions": "a:b", "description": "Kept"} | typed
    page = get(door, f"{LIST}/new").form().send(**filled)
    assert page.status == 400
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    form = page.form()
    assert {name: form.value(name) for name in filled} == filled


def test_an_action_that_two_apis_describe_is_ticked_once(door: TestClient, role: dict[str, Any]) -> None:
    """Were it offered twice, whoever unticks one would leave the other."""
    form = get(door, f"{LIST}/support/edit").form()
    assert form.values("actions") == ["customers:read", "customers:write"]
    assert form.value("other_actions") == "tickets:close"


def test_a_change_of_actions_says_first_who_loses_by_it(door: TestClient, delegation: dict[str, Any]) -> None:
    door.get(f"{TOKEN}?client_id={delegation['client']['id']}")
    page = get(door, f"{LIST}/support/edit").form().send(actions=["customers:read"], name="First line")
    assert "Removed Takes away customers:write These trust delegations allow a removed action" in page.text
    assert page.links["Support → Night Owl"] == f"/console/delegations/{delegation['id']}"
    assert "1 live token" in page.text
    assert "The new name is First line" in page.text
    assert stored(door, delegation["role"])["name"] == "Support"
    back = page.form().send(again="1")
    assert back.form().value("name") == "First line"
    assert back.form().values("actions") == ["customers:read"]
    page = page.form().send(save="1").follow()
    assert "Saved." in page.text
    now = stored(door, delegation["role"])
    assert (now["name"], now["actions"]) == ("First line", ["customers:read", "tickets:close"])


def test_a_change_that_leaves_a_delegation_no_action_says_that_the_agent_gets_no_token(
    door: TestClient, delegation: dict[str, Any]
) -> None:
    edit = f"{LIST}/support/edit"
    page = get(door, edit).form().send(actions=["customers:read"])
    assert "1 agent keeps working" in page.text
    assert "New tokens carry the remaining actions." in page.text
    page = get(door, edit).form().send(actions=[], other_actions="x:y")
    assert "keeps working" not in page.text
    assert "New tokens carry the remaining actions." not in page.text
    assert "The agent gets no new token." in page.text


def test_a_change_that_stops_some_agents_promises_new_tokens_only_to_the_others(
    door: TestClient, delegation: dict[str, Any]
) -> None:
    what = {"target_type": "AutoGen AI agent", "actions": ["customers:write"], "max_duration": 3600}
    make(door, "clients", name="Early Bird", platform="unattested")
    make(door, "delegations", role=delegation["role"]["slug"], client="early-bird", **what)
    page = get(door, f"{LIST}/support/edit").form().send(actions=["customers:read"])
    assert "1 agent: Early Bird" in page.text
    assert "1 agent keeps working: Night Owl" in page.text
    assert "Only agents that keep working get new tokens." in page.text
    assert "New tokens carry the remaining actions." not in page.text


def test_a_change_of_actions_says_first_who_gains_by_it(door: TestClient, delegation: dict[str, Any]) -> None:
    """The delegation allows what the role has lost: given it again, the agent has it again, and nobody delegated."""
    edit = f"{LIST}/support/edit"
    get(door, edit).form().send(actions=["customers:read"]).form().send(save="1")
    page = get(door, edit).form().send(actions=["customers:read", "customers:write"], other_actions="tickets:close x:y")
    assert "Added Gives more customers:write , x:y Some agents get the added actions at once" in page.text
    assert "Support → Night Owl" in page.links
    page = get(door, edit).form().send(other_actions="tickets:close x:y")
    assert "No trust delegation allows the added actions yet, so no agent gets them now." in page.text


def test_an_edit_that_changes_no_action_is_saved_at_once(door: TestClient, role: dict[str, Any]) -> None:
    page = get(door, f"{LIST}/support/edit").form().send(description="Mended")
    assert "Saved." in page.follow().text
    assert stored(door, role)["description"] == "Mended"
    assert "Saved." in get(door, f"{LIST}/support/edit").form().send().follow().text
    assert stored(door, role)["revision"] == 3, "recorded, although raw SQL could have made the edit before"


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"name": ""}, "name", "Name must"),
        ({"actions": [], "other_actions": ""}, "other_actions", "There are no actions."),
        ({"other_actions": "no"}, "other_actions", "Line 1: 'no'"),
    ],
)
def test_what_is_wrong_in_an_edit_stands_at_its_field(
    door: TestClient, role: dict[str, Any], typed: dict[str, Any], field: str, says: str
) -> None:
    page = get(door, f"{LIST}/support/edit").form().send(description="Kept", **typed)
    assert page.status == 400
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    assert page.form().value("description") == "Kept"


@pytest.mark.parametrize("button", [{}, {"save": "1"}])
def test_the_second_of_two_editors_is_told_what_changed(
    door: TestClient, role: dict[str, Any], button: dict[str, str]
) -> None:
    mine = get(door, f"{LIST}/support/edit").form()
    get(door, f"{LIST}/support/edit").form().send(name="Theirs", other_actions="a:b", save="1")
    page = mine.send(description="Mine", actions=["customers:read"], **button)
    assert page.status == 412
    assert "Changed by local operator" in page.text
    assert "Now: Theirs" in page.text
    assert "Now: a:b, customers:read, customers:write" in page.text
    assert (page.form().value("name"), page.form().value("description")) == ("Support", "Mine")
    page.form().send(save="1")  # told, they may overrule it
    assert stored(door, role)["actions"] == ["customers:read", "tickets:close"]


def test_from_the_review_back_to_the_form_others_changes_are_not_lost(door: TestClient, role: dict[str, Any]) -> None:
    """The revision that they had read goes along: to be shown the form again is not to have seen the change."""
    review = get(door, f"{LIST}/support/edit").form().send(actions=["customers:read"])
    get(door, f"{LIST}/support/edit").form().send(name="Theirs", save="1")
    page = review.form().send(again="1").form().send(save="1")
    assert page.status == 412
    assert stored(door, role)["name"] == "Theirs"


def test_a_role_in_use_is_not_deleted(door: TestClient, delegation: dict[str, Any]) -> None:
    page = get(door, get(door, f"{LIST}/support").links["Delete"])
    assert "The role is in use" in page.text
    assert page.links["Support → Night Owl"] == f"/console/delegations/{delegation['id']}"
    assert "Delete role" not in page.text
    page = post(door, f"{LIST}/support/delete", [])  # it was free when somebody asked, and is not now
    assert page.status == 409
    assert "One trust delegation uses the role 'Support'" in page.text


def test_a_role_that_nobody_uses_goes_with_what_is_over(door: TestClient, delegation: dict[str, Any]) -> None:
    door.post(f"{API}/delegations/{delegation['id']}/revoke")
    page = get(door, f"{LIST}/support/delete")
    assert "Delete the role Support?" in page.text
    assert "1 ended or revoked trust delegation in this role is deleted, too" in page.text
    page = page.form().send().follow()
    assert page.path == LIST
    assert "The role is deleted." in page.text
    assert get(door, f"{LIST}/support").status == 404


def test_what_is_not_there_is_not_found(door: TestClient) -> None:
    for end in ("", "/edit", "/delete"):
        assert get(door, f"{LIST}/nonsense{end}").status == 404


def test_markup_in_what_was_typed_is_text(door: TestClient) -> None:
    form = get(door, f"{LIST}/new").form()
    page = form.send(name=MARKUP, slug=MARKUP, description=MARKUP, other_actions=MARKUP)
    assert page.status == 400
    assert "<script>alert" not in page.html
    form.send(name=MARKUP, slug="evil", description=MARKUP, other_actions="a:b c:d")
    edit = get(door, f"{LIST}/evil/edit")
    assert edit.form().value("name") == MARKUP
    pages = [get(door, f"{LIST}{end}") for end in ("", "/evil", "/evil/delete")]
    for page in (edit, edit.form().send(other_actions="a:b", name=MARKUP * 2), *pages):
        assert page.status == 200
        assert "<script>alert" not in page.html


def test_a_viewer_sees_all_and_changes_nothing(
    door: TestClient, role: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = replace(LOCAL_OPERATOR, role=Role.VIEWER)
    monkeypatch.setattr("authsec_server.accounts.authentication.LOCAL_OPERATOR", viewer)
    assert "Create role" not in get(door, LIST).links
    assert {"Edit", "Delete", "Create trust delegation"}.isdisjoint(get(door, f"{LIST}/support").links)
    for path in ("new", "support/edit", "support/delete"):
        assert get(door, f"{LIST}/{path}").status == 403
        assert post(door, f"{LIST}/{path}", [("save", "1")]).status == 403
