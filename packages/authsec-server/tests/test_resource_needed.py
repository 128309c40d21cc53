"""A warning: after this change, the agent's token requests must name an API with `resource`."""

from __future__ import annotations

from typing import Any

import pytest
from pages import get, post
from starlette.testclient import TestClient

API = "/authsec/api/v1"
CRM, MAIL = "https://crm.example", "https://mail.example"
TOLD = "After this change, each token request of Customer Support must name an API with the parameter `resource`"
ON_PAGES = TOLD.replace("`", "")


@pytest.fixture
def agent(door: TestClient) -> str:
    """An agent with one delegation, for one API. Its client_id."""
    for name, identifier in (("CRM", CRM), ("Mail", MAIL)):
        made(door, "apis", name=name, identifier=identifier)
    made(door, "roles", name="Support", actions=["customers:read", "mails:send"])
    client_id: str = made(door, "clients", name="Customer Support", platform="unattested")["client_id"]
    delegate(door, client_id, audiences=[CRM])
    return client_id


def made(door: TestClient, noun: str, query: str = "", **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}{query}", json=what)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def delegate(door: TestClient, agent: str, query: str = "", **what: Any) -> dict[str, Any]:
    values = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 3600} | what
    return made(door, "delegations", query, role="support", client=agent, **values)


def told(shown: dict[str, Any]) -> list[str]:
    return [each["message"] for each in shown["warnings"] if each["code"] == "resource_needed"]


def test_the_second_api_of_an_agent_is_a_warning_before_and_when_it_is_delegated(door: TestClient, agent: str) -> None:
    (dry,) = told(delegate(door, agent, "?dry_run=1", audiences=[MAIL])["would_answer"])
    assert dry.startswith(f"{TOLD}, such as `{CRM}`.")
    assert "refuses other requests with `invalid_target`" in dry
    assert told(delegate(door, agent, audiences=[MAIL])) == [dry]
    assert told(delegate(door, agent, audiences=[CRM, MAIL])) == [], "the requests name an API already"


def test_no_warning_if_the_audiences_stay_the_same(door: TestClient, agent: str) -> None:
    assert told(delegate(door, agent, audiences=[CRM], actions=["mails:send"])) == []
    other = made(door, "clients", name="Other", platform="unattested")["client_id"]
    assert told(delegate(door, other, audiences=[MAIL])) == []


def test_an_edit_and_an_enabling_warn_as_well(door: TestClient, agent: str) -> None:
    second = delegate(door, agent, audiences=[CRM], actions=["mails:send"])
    one = f"{API}/delegations/{second['id']}"
    moved = door.patch(f"{one}?dry_run=1", json={"audiences": [MAIL]}, headers={"If-Match": "*"}).json()
    (text,) = told(moved["would_answer"])
    assert text.startswith(TOLD)
    door.post(f"{one}/disable")
    disabled = door.patch(one, json={"audiences": [MAIL]}, headers={"If-Match": "*"}).json()
    assert told(disabled) == [], "a disabled delegation changes no request"
    assert told(door.post(f"{one}/enable?dry_run=1").json()["would_answer"]) == [text]
    page = get(door, f"/console/delegations/{second['id']}/enable")
    assert ON_PAGES in page.text
    assert told(door.post(f"{one}/enable").json()) == [text]
    assert ON_PAGES not in get(door, f"/console/delegations/{second['id']}").text, "the change is made"


def test_the_review_of_the_console_warns(door: TestClient, agent: str) -> None:
    there = [("role", "support"), ("client", agent), ("actions", "customers:read"), ("target_type", "AutoGen AI agent")]
    fields = [*there, ("duration", "1"), ("duration_unit", "hours"), ("audiences", MAIL)]
    page = post(door, "/console/delegations/new", fields)
    assert ON_PAGES in page.text
