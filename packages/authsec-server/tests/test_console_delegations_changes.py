"""One trust delegation in the console: what it shows, editing it, turning it off and on, revoking it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from authsec_server.clients.model import ProofKind
from authsec_server.principal import LOCAL_OPERATOR, Role
from long_runs import some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/delegations"
MARKUP = "<script>alert(1)</script>\"'&"
TOKEN = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of the operator at whose machine the authority runs."""
    client: TestClient = house(local_operator=True).door()
    return client


@pytest.fixture
def made(door: TestClient) -> dict[str, Any]:
    """A delegation of two actions of three to an unattested agent."""
    actions = ["customers:read", "customers:write", "tickets:close"]
    make(door, "roles", name="Support", actions=actions)
    described = [{"action": "customers:read", "description": "Read customer records"}]
    make(door, "apis", name="Customer API", identifier="https://customers.example.com", actions=described)
    make(door, "clients", name="Night Owl", platform="unattested")
    return make(
        door,
        "delegations",
        role="support",
        client="night-owl",
        target_type="AutoGen AI agent",
        actions=["customers:read", "tickets:close"],
        max_duration=3600,
        ends_at="2027-01-01T00:00:00.5Z",
    )


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stored(door: TestClient, made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"{API}/delegations/{made['id']}").json()
    return found


def mint(door: TestClient, made: dict[str, Any]) -> int:
    return door.get(f"{TOKEN}?client_id={made['client']['id']}").status_code


def edited(door: TestClient, made: dict[str, Any], **changes: Any) -> Page:
    """The review of these changes."""
    return get(door, f"{LIST}/{made['id']}/edit").form().send(**changes)


def test_the_page_shows_what_it_grants_and_the_tokens_minted_under_it(door: TestClient, made: dict[str, Any]) -> None:
    page = get(door, f"{LIST}/{made['id']}")
    assert "Support → Night Owl" in page.text
    assert f"Slug {made['slug']}" in page.text
    assert get(door, f"{LIST}/{made['slug']}").text == page.text
    assert "customers:read Read customer records at Customer API not used" in page.text
    assert "tickets:close No registered API describes this action. not used" in page.text
    assert "None yet." in page.text
    assert mint(door, made) == 200
    page = get(door, f"{LIST}/{made['id']}")
    jti = door.get(f"{API}/events?limit=1").json()["items"][0]["jti"]
    assert jti in page.text
    assert "customers:read Read customer records at Customer API in 1 token" in page.text
    assert "anybody who knows its client_id can get tokens for this delegation" in page.text


def test_the_tokens_of_a_delegation_for_several_apis_show_theirs(door: TestClient, made: dict[str, Any]) -> None:
    edit = {"json": {"audiences": ["crm", "ledger"]}, "headers": {"If-Match": f'"{made["revision"]}"'}}
    door.patch(f"{API}/delegations/{made['id']}", **edit).raise_for_status()
    assert door.get(f"{TOKEN}?client_id={made['client']['id']}&resource=ledger").status_code == 200
    assert '<td class="breaks" data-label="API">ledger</td>' in get(door, f"{LIST}/{made['id']}").html


@pytest.mark.parametrize(("number", "is_open"), [(10, True), (11, False)])
def test_more_than_ten_actions_and_the_claims_are_folded(door: TestClient, number: int, is_open: bool) -> None:
    actions = [f"customers:act{each}" for each in range(number)]
    make(door, "roles", name="Support", actions=actions)
    make(door, "clients", name="Night Owl", platform="unattested")
    what = {"target_type": "AutoGen AI agent", "actions": actions, "max_duration": 3600}
    made = make(door, "delegations", role="support", client="night-owl", **what)
    page = get(door, f"{LIST}/{made['id']}").html
    folds = re.findall(r'<details class="card fold"( open)?>\s*<summary><h2>(.*?)</h2>', page)
    assert folds == [(" open" if is_open else "", "Allowed Actions"), ("", "Claims of its tokens")]
    assert f"{number} actions" in page


def test_what_was_minted_and_revoked_says_so(door: TestClient, made: dict[str, Any]) -> None:
    mint(door, made)
    path = f"{LIST}/{made['id']}"
    assert "revoked" not in get(door, path).text
    get(door, f"{path}/disable").form().send()
    get(door, f"{path}/enable").form().send()
    mint(door, made)
    text = get(door, path).text
    assert text.count("revoked just now") == 1
    assert text.count("in 1 hour") == 1


def test_tokens_are_shown_in_pages(door: TestClient, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.pages.TOKENS", 1)
    mint(door, made)
    mint(door, made)
    first, second = (each["jti"] for each in door.get(f"{API}/events?limit=2").json()["items"])
    page = get(door, f"{LIST}/{made['id']}")
    assert first in page.text
    assert second not in page.text
    older = get(door, page.links["Older"])
    assert second in older.text
    assert first not in older.text


def test_an_action_that_the_role_has_lost_is_dormant(door: TestClient, made: dict[str, Any]) -> None:
    form = get(door, "/console/roles/support/edit").form()
    form.send(other_actions="customers:write\ntickets:close", actions=[], save="1")
    text = get(door, f"{LIST}/{made['id']}").text
    assert "customers:read Dormant" in text
    assert "tickets:close Dormant" not in text
    form = get(door, f"{LIST}/{made['id']}/edit").form()
    assert "customers:read" in form.values("actions")
    assert form.send(owner="Somebody").form().send(save="1").status == 303  # what is dormant may stay
    assert "customers:read" in stored(door, made)["actions"]


def test_an_edit_is_reviewed_before_it_is_made(door: TestClient, made: dict[str, Any]) -> None:
    mint(door, made)
    page = edited(door, made, actions=["customers:read", "customers:write"], amount="15", unit="minutes")
    assert "customers:read, tickets:close customers:read, customers:write Takes away Gives more" in page.text
    assert "Maximum Duration 1 hour 15 minutes Takes away" in page.text
    assert "1 live token" in page.text
    assert stored(door, made)["revision"] == 1
    page = page.form().send(save="1").follow()
    assert "Saved." in page.text
    now = stored(door, made)
    assert (now["actions"], now["max_duration"]) == (["customers:read", "customers:write"], 900)
    assert now["revision"] == 2
    assert now["ends_at"] == made["ends_at"]  # the form shows no fraction of a second, and takes none away


def test_the_review_of_an_edit_names_the_api_that_may_have_been_meant(door: TestClient, made: dict[str, Any]) -> None:
    review = edited(door, made, audiences=["customer-ap"])
    assert "There is no API customer-ap; the nearest is customer-api." in review.text
    assert "There is no API" not in edited(door, made, audiences=["customer-api"]).text


def test_an_edit_that_takes_nothing_away_ends_no_token(door: TestClient, made: dict[str, Any]) -> None:
    page = edited(door, made, ends_at="")
    assert "No token is revoked. New tokens can do more." in page.text
    page.form().send(save="1")
    assert stored(door, made)["ends_at"] is None


def test_the_review_of_required_dpop_says_what_is_needed(door: TestClient, made: dict[str, Any]) -> None:
    """An unattested agent gets no bound token, so this agent stops."""
    before = edited(door, made, amount="15", unit="minutes")
    assert "1 agent keeps working: Night Owl" in before.text
    assert "DPoP proofs" not in before.text
    review = edited(door, made, require_dpop=["yes"])
    assert "The agent must send DPoP proofs, and the APIs must accept them." in review.text
    assert review.links["Connect"].endswith("/connect")
    assert "Night Owl is unattested, so it gets no token by this delegation, which requires DPoP." in review.text
    assert "Night Owl can't authenticate" not in review.text
    assert review.links["Add a proof"].endswith("/proofs/add")
    assert "1 agent: Night Owl" in review.text
    assert "The agent gets no new token." in review.text
    proof = {"platform": "secret"}
    door.post(f"{API}/clients/night-owl/proofs", json=proof).raise_for_status()
    review = edited(door, made, require_dpop=["yes"])
    assert "1 agent keeps working if it sends DPoP proofs: Night Owl" in review.text


def test_an_edit_of_nothing_is_recorded_without_a_review(door: TestClient, made: dict[str, Any]) -> None:
    page = edited(door, made).follow()
    assert "Saved." in page.text
    assert stored(door, made)["revision"] == 2


def test_from_the_review_back_to_the_form_all_is_kept(door: TestClient, made: dict[str, Any]) -> None:
    page = edited(door, made, description="For the night", actions=["customers:write"]).form().send(again="1")
    assert page.form().value("description") == "For the night"
    assert page.form().values("actions") == ["customers:write"]


def test_select_all_in_the_edit_works_without_script(door: TestClient, made: dict[str, Any]) -> None:
    page = edited(door, made, select="all", owner="Somebody")
    assert page.form().values("actions") == ["customers:read", "customers:write", "tickets:close"]
    assert page.form().value("owner") == "Somebody"


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    some_rows_of(
        [
            ({"actions": []}, "actions", "No actions were given"),
            ({"actions": ["customers:delete"]}, "actions", "is not an action of the role"),
            ({"amount": "9", "unit": "days"}, "amount", "must be from 1 minute to 1 day"),
            ({"amount": ""}, "amount", "must be a whole number"),
            ({"ends_at": "2020-01-01T00:00"}, "ends_at", "must be a future date"),
            ({"owner": ""}, "owner", "Owner must not be empty"),
            ({"target_type": "Toaster"}, "target_type", "is not a target type"),
            ({"audiences": ["Not one"]}, "audiences", "is not an audience"),
            ({"excluded_proofs": [*ProofKind]}, "excluded_proofs", "Every kind"),
        ]
    ),
)
def test_what_is_wrong_in_an_edit_stands_at_its_field(
    door: TestClient, made: dict[str, Any], typed: dict[str, Any], field: str, says: str
) -> None:
    page = edited(door, made, description="Kept", **typed)
    assert page.status == 400
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    assert page.form().value("description") == "Kept"


@pytest.mark.parametrize("button", [{}, {"save": "1"}])
def test_the_second_of_two_editors_is_told_what_changed(
    door: TestClient, made: dict[str, Any], button: dict[str, str]
) -> None:
    mine = get(door, f"{LIST}/{made['id']}/edit").form()
    edited(door, made, amount="15", unit="minutes", owner="Theirs").form().send(save="1")
    page = mine.send(description="Mine", amount="30", unit="minutes", **button)
    assert page.status == 412
    assert "Changed by local operator" in page.text
    assert "Now: 15 min" in page.text
    assert "Now: Theirs" in page.text
    assert page.form().value("description") == "Mine"
    assert page.form().value("amount") == "30"
    assert stored(door, made)["description"] == ""
    page.form().send().form().send(save="1")  # told, they may overrule it
    assert (stored(door, made)["description"], stored(door, made)["max_duration"]) == ("Mine", 1800)


def test_from_the_review_back_to_the_form_others_changes_are_not_lost(door: TestClient, made: dict[str, Any]) -> None:
    """The revision that they had read goes along: to be shown the form again is not to have seen the change."""
    review = edited(door, made, amount="30", unit="minutes")
    edited(door, made, owner="Theirs").form().send(save="1")
    page = review.form().send(again="1").form().send()
    assert page.status == 412
    assert "Now: Theirs" in page.text


def test_a_delegation_is_disabled_enabled_and_revoked_after_being_asked(door: TestClient, made: dict[str, Any]) -> None:
    mint(door, made)
    page = get(door, get(door, f"{LIST}/{made['id']}").links["Disable"])
    assert "1 agent: Night Owl" in page.text
    assert "1 live token" in page.text
    assert "Its live tokens are revoked." in page.text
    assert stored(door, made)["state"] == "live"
    assert "No new token is issued under it" in page.form().send().follow().text
    assert mint(door, made) == 404
    page = get(door, get(door, f"{LIST}/{made['id']}").links["Enable"])
    assert "Permissions granted again" in page.text
    page.form().send()
    assert mint(door, made) == 200
    page = get(door, get(door, f"{LIST}/{made['id']}").links["Revoke"]).form().send().follow()
    assert "permanently revoked" in page.text
    assert mint(door, made) == 410
    assert {"Edit", "Disable", "Enable", "Revoke"}.isdisjoint(page.links)
    assert get(door, f"{LIST}/{made['id']}/edit").status == 409


def test_a_change_that_is_refused_is_refused_on_the_page_that_asked(door: TestClient, made: dict[str, Any]) -> None:
    """Between the question and the answer, somebody else revoked the delegation."""
    asked = get(door, f"{LIST}/{made['id']}/disable").form()
    get(door, f"{LIST}/{made['id']}/revoke").form().send()
    refused = asked.send().follow()
    assert "Nothing was changed" in refused.text
    assert "The trust delegation was already revoked" in refused.text


def test_what_is_not_there_is_not_found(door: TestClient) -> None:
    for end in ("", "/edit", "/disable", "/enable", "/revoke"):
        assert get(door, f"{LIST}/nonsense{end}").status == 404


def test_markup_in_what_was_typed_is_text(door: TestClient, made: dict[str, Any]) -> None:
    for page in (edited(door, made, owner=MARKUP, description=MARKUP), edited(door, made, owner=MARKUP, amount="x")):
        assert "<script>alert" not in page.html
    edited(door, made, owner=MARKUP, description=MARKUP).form().send(save="1")
    for end in ("", "/edit", "/disable", "/enable", "/revoke"):
        assert "<script>alert" not in get(door, f"{LIST}/{made['id']}{end}").html
    assert stored(door, made)["owner"] == MARKUP


def test_a_viewer_sees_all_and_changes_nothing(
    door: TestClient, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = replace(LOCAL_OPERATOR, role=Role.VIEWER)
    monkeypatch.setattr("authsec_server.accounts.authentication.LOCAL_OPERATOR", viewer)
    page = get(door, f"{LIST}/{made['id']}")
    assert page.status == 200
    assert {"Edit", "Disable", "Enable", "Revoke"}.isdisjoint(page.links)
    for end in ("edit", "disable", "enable", "revoke"):
        assert get(door, f"{LIST}/{made['id']}/{end}").status == 403
        assert post(door, f"{LIST}/{made['id']}/{end}", [("save", "1")]).status == 403
    assert stored(door, made)["revision"] == 1
