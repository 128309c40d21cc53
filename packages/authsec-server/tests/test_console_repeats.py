"""A confirmation page that is older than the change: it shows the state. Its button only records the repeat."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pages import get
from sqlalchemy import text
from starlette.testclient import TestClient
from workload_evidence import kubernetes

House = Any
API = "/authsec/api/v1"
NOTHING = "Nothing was changed"


def pressed_twice(door: TestClient, opened: House, path: str, state: str, *, recorded: int = 1) -> None:
    """Open the page, make the change from another window, and press the button of the old page."""
    old = get(door, path).form()
    old.send()
    events = len(opened.events())
    said = old.send().follow()
    assert [each.event.detail.get("already") for each in opened.events()[events:]] == [True] * recorded
    assert NOTHING in said.text
    assert state in said.text
    page = get(door, path)
    assert state in page.text
    assert all(each.of_the_frame for each in page.forms), "a button for a change that was made"


def test_a_revoked_delegation_is_not_revoked_again(door: TestClient, opened: House) -> None:
    opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    path = f"/console/delegations/{its['id']}"
    pressed_twice(door, opened, f"{path}/revoke", "was already revoked, at 2026-11-25 12:00:00 UTC by local operator.")
    assert "Revoked 2026-11-25 12:00:00 by local operator" in get(door, path).text
    assert "was already revoked" in get(door, f"{path}/disable").text
    assert "was already revoked" in get(door, f"{path}/enable").text


def test_a_disabled_delegation_is_not_disabled_again(door: TestClient, opened: House) -> None:
    opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    path = f"/console/delegations/{its['id']}"
    pressed_twice(door, opened, f"{path}/disable", "The trust delegation is already disabled.")
    pressed_twice(door, opened, f"{path}/enable", "The trust delegation is already enabled.", recorded=0)


def test_a_disabled_client_is_not_disabled_again(door: TestClient, opened: House) -> None:
    path = f"/console/clients/{opened.delegated_agent().client_id}"
    pressed_twice(door, opened, f"{path}/disable", "The client is already disabled.")
    pressed_twice(door, opened, f"{path}/enable", "The client is already enabled.", recorded=0)


def test_an_admin_key_is_not_revoked_again(door: TestClient, opened: House) -> None:
    key = door.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()
    path = f"/console/administrators/keys/{key['id']}/revoke"
    pressed_twice(door, opened, path, "The admin key Pipeline was already revoked, at 2026-11-25 12:00:00 UTC.")


def test_a_credential_and_a_signing_key_are_not_revoked_again(door: TestClient, opened: House) -> None:
    door.post(f"{API}/apis", json={"name": "CRM", "identifier": "https://crm.example.com"})
    made = door.post(f"{API}/apis/crm/credentials", json={"name": "first"}).json()
    pressed_twice(door, opened, f"/console/apis/crm/credentials/{made['id']}/revoke", "first was already revoked")
    kid = next(each["kid"] for each in door.get(f"{API}/keys").json()["items"] if each["state"] == "active")
    pressed_twice(door, opened, f"/console/keys/{kid}/revoke", f"The key {kid} was already revoked.")


def test_a_token_is_not_revoked_again(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion()}"}
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=proof)
    path = f"/console/activity/{opened.events()[-1].id}/end-token"
    pressed_twice(door, opened, path, "The token was already revoked, at 2026-11-25 12:00:00 UTC.")


def test_a_trusted_issuer_is_not_disabled_again(door: TestClient, opened: House) -> None:
    what = {"kind": "kubernetes", "issuer": "https://prod.example", "keys_from": "given"}
    asked = {"name": "Prod", **what, "given_keys": kubernetes().jwks}
    made = door.post(f"{API}/issuers", json=asked)
    assert made.status_code == 201, made.text
    pressed_twice(door, opened, "/console/issuers/prod/disable", "The trusted issuer is already disabled.")


def test_what_was_revoked_before_is_named_so(door: TestClient, opened: House) -> None:
    """The last token is not called issued, while the page counts no live token."""
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion()}"}
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=proof)
    its = door.get(f"{API}/delegations").json()["items"][0]
    door.post(f"{API}/clients/{agent.client_id}/revoke-tokens")
    page = get(door, f"/console/delegations/{its['id']}/revoke")
    assert "0 live tokens; the last revoked token expires" in page.text


def revocations(door: TestClient, opened: House) -> dict[str, str]:
    """The address of each revocation of the admin API that can be repeated, with the address that shows the thing."""
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion()}"}
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=proof)
    delegation = door.get(f"{API}/delegations").json()["items"][0]["id"]
    key = door.post(f"{API}/admin-keys", json={"name": "Pipeline", "role": "operator"}).json()["id"]
    door.post(f"{API}/apis", json={"name": "CRM", "identifier": "https://crm.example.com"})
    credential = door.post(f"{API}/apis/crm/credentials", json={"name": "first"}).json()["id"]
    kid = next(each["kid"] for each in door.get(f"{API}/keys").json()["items"] if each["state"] == "active")
    return {
        f"{API}/delegations/{delegation}/revoke": f"{API}/delegations/{delegation}",
        f"{API}/admin-keys/{key}/revoke": f"{API}/admin-keys",
        f"{API}/apis/crm/credentials/{credential}/revoke": f"{API}/apis/crm/credentials",
        f"{API}/keys/{kid}/revoke": f"{API}/keys",
    }


def test_the_api_records_each_revocation_as_the_console_does(door: TestClient, opened: House) -> None:
    for revoke, shown in revocations(door, opened).items():
        first = door.post(revoke)
        assert first.is_success, first.text
        before, events = door.get(shown).json(), len(opened.events())
        opened.clock.at += timedelta(minutes=1)
        again = door.post(revoke)
        assert again.status_code == first.status_code, again.text
        assert door.get(shown).json() == before, "the time of the change stays"
        (event,) = [each.event for each in opened.events()[events:]]
        assert event.detail["already"], revoke
    delegation = door.get(f"{API}/delegations").json()["items"][0]["id"]
    assert "Revoked 2026-11-25 12:00:00 by local operator" in get(door, f"/console/delegations/{delegation}").text


def test_a_row_that_raw_sql_has_marked_is_revoked_by_the_console(door: TestClient, opened: House) -> None:
    """Without an event, nobody would find that the thing is live once the mark is gone."""
    opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    form = get(door, f"/console/delegations/{its['id']}/revoke").form()
    mark = text("UPDATE delegations SET revoked_at = '2026-11-20 00:00:00.000000'")
    opened.authority.database.append(lambda tx: tx.connection.execute(mark))
    form.send().follow()
    assert opened.events()[-1].event.kind == "delegation.revoked"
    assert "Customer Support again" in get(door, "/console/activity").text
