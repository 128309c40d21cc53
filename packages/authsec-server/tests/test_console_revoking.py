"""Ending one token, revoking a signing key, and all that somebody delegated, in the console."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pages import get, post
from starlette.testclient import TestClient

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
WHICH = "/console/activity/end-token"
API = "/authsec/api/v1"


@pytest.fixture
def token(opened: House) -> str:
    """A token that was just issued."""
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion()}"}
    return str(opened.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof).json()["token"])


def kinds(its: House) -> list[str]:
    return [str(each.event.kind) for each in its.events()]


def test_a_token_is_ended_from_its_event(door: TestClient, opened: House, token: str) -> None:
    assert token
    issued = opened.events()[-1]
    story = get(door, f"/console/activity/{issued.id}")
    asked = get(door, story.links["Revoke this token"])
    assert "tokens of 1 agent that keeps working: Customer Support" in asked.text
    assert "1 live token" in asked.text
    assert "token.revoked" not in kinds(opened)
    done = asked.form(f"/console/activity/{issued.id}/end-token").send(reason="Seen in a chat").follow()
    assert "The token is revoked." in done.text
    assert "Revoke this token" not in done.links
    assert "revoked just now" in done.text
    assert kinds(opened)[-1] == "token.revoked"
    trail = get(door, "/console/activity?what=revoked").text
    assert "local operator revoked a token of Customer Support" in trail


def test_a_pasted_token_leads_to_its_page_and_is_not_shown_again(door: TestClient, opened: House, token: str) -> None:
    number = opened.events()[-1].id
    form = get(door, get(door, "/console/activity").links["Revoke a token"]).form()
    for pasted in (f"Authorization: Bearer {token[:60]}\r\n{token[60:]}", opened.events()[-1].event.jti):
        assert form.send(token=pasted).location == f"/console/activity/{number}/end-token"
    wrong = {token[:-3]: "not from this authority", "0" * 32: "has no token", "": "Nothing was pasted"}
    for pasted, said in wrong.items():
        refused = form.send(token=pasted)
        assert (refused.status in {400, 404}, said in refused.text) == (True, True), refused.text
        assert token[:40] not in refused.html
    opened.clock.at += timedelta(hours=1, minutes=5)  # after which no API takes it
    assert "expired at 2026-11-25T13:00:00Z" in form.send(token=token).text


def test_what_the_holder_has_ended_is_told(door: TestClient, opened: House, token: str) -> None:
    opened.door("198.51.100.7").post("/authsec/v1/revoke", data={"token": token})
    assert "Customer Support revoked its own token" in get(door, "/console/activity").text


def test_a_signing_key_is_revoked(door: TestClient, opened: House, token: str) -> None:
    assert token
    keys = {key["state"]: key["kid"] for key in door.get(f"{API}/keys").json()["items"]}
    path = f"/console/keys/{keys['active']}/revoke"
    assert path in get(door, "/console/keys").html
    asked = get(door, path)
    assert f"The prepared key {keys['prepared']} becomes active at once" in asked.text
    assert "They refuse its tokens until they fetch the key set again, within 5 minutes." in asked.text
    assert "tokens of 1 agent that keeps working: Customer Support" in asked.text
    assert "key.revoked" not in kinds(opened)
    done = asked.form().send(reason="Lost").follow()
    assert "The key is revoked" in done.text
    assert f"Revoked {keys['active']}" in done.text
    assert f"Active {keys['prepared']}" in done.text
    assert "was already revoked" in get(door, path).text
    assert get(door, "/console/keys/nonsense/revoke").status == 404


def test_all_that_somebody_delegated_is_revoked(door: TestClient, opened: House, house: Any) -> None:
    key = door.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()
    agent = opened.delegated_agent()
    role = door.get(f"{API}/roles").json()["items"][0]["slug"]
    asked = {"role": role, "client": agent.client_id, "target_type": "AutoGen AI agent", "max_duration": 600}
    pipeline = house().door(Authorization=f"Bearer {key['key']}")
    pipeline.post(f"{API}/delegations", json=asked | {"actions": ["customers:delete"]})
    revoke = get(door, f"/console/administrators/keys/{key['id']}/revoke")
    page = get(door, revoke.links["see what was delegated with the key"])
    assert "Pipeline still has access" in page.text
    assert page.text.count("→ Customer Support") == 1
    revoke.form().send()
    page = get(door, f"/console/administrators/keys/{key['id']}/grants")
    assert "still has access" not in page.text
    done = page.form().send().follow()
    assert "The trust delegations are permanently revoked" in done.text
    states = [each["state"] for each in door.get(f"{API}/delegations").json()["items"]]
    assert sorted(states) == ["live", "revoked"]
    assert "has no trust delegations to revoke." in get(door, f"/console/administrators/keys/{key['id']}/grants").text


def test_what_others_have_changed_since_is_shown_and_ends_if_that_is_meant(
    door: TestClient, opened: House, house: Callable[..., House]
) -> None:
    key = door.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()
    opened.delegated_agent()
    path = f"{API}/delegations/{door.get(f'{API}/delegations').json()['items'][0]['id']}"
    door.post(f"{path}/disable")
    assert house().door(Authorization=f"Bearer {key['key']}").post(f"{path}/enable").status_code == 200
    opened.clock.at += timedelta(minutes=1)
    door.post(f"{path}/disable")
    page = get(door, f"/console/administrators/keys/{key['id']}/grants")
    assert "has no trust delegations to revoke." in page.text
    assert "Changed by others after " in page.text
    assert "Changed last by" in page.text
    assert "Disabled local operator" in page.text
    page = get(door, page.links["revoke these as well…"])
    assert "others may have changed some of them later" in page.text
    assert "The trust delegations are permanently revoked" in page.form().send().follow().text
    assert door.get(path).json()["state"] == "revoked"


def test_an_administrator_has_the_page_too(door: TestClient) -> None:
    invited = door.post(f"{API}/administrators", json={"email": "m@example.com", "name": "Mo", "role": "admin"}).json()
    person = get(door, f"/console/administrators/{invited['id']}")
    page = get(door, person.links["Revoke trust delegations"])
    assert "Mo still has access" in page.text
    assert "has no trust delegations to revoke." in page.text
    assert "Trust delegations of Mo" in page.text
    assert "Revoke everything" not in page.text
    assert post(door, f"/console/administrators/{invited['id']}/grants", []).status == 303
