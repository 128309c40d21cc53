"""An agent uses its delegation token, or its proof, at the admin API: no agent can administer, whatever it holds."""

from __future__ import annotations

from typing import Any

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
API = "/authsec/api/v1"

DOORS = (
    ("GET", "events"),
    ("GET", "clients"),
    ("POST", "roles"),
    ("POST", "keys/rotate"),
    ("POST", f"keys/{'a' * 43}/revoke"),
    ("POST", "tokens/revoke"),
    ("POST", "tokens/revoke?dry_run=1"),
    ("POST", "administrators/ann@example.com/revoke-grants"),
)


def test_nothing_that_an_agent_holds_opens_the_admin_api(house: Any) -> None:
    its = house()
    agent, door = its.delegated_agent(), its.door()
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    token = door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers).json()["token"]
    before = [recorded for recorded in its.events() if recorded.event.principal]
    for bearer in (token, agent.assertion(), agent.client_id, "authsec_", ""):
        for method, path in DOORS:
            answer = door.request(method, f"{API}/{path}", headers={"Authorization": f"Bearer {bearer}"})
            assert answer.status_code in {401, 429}, (bearer, path)
    assert [recorded for recorded in its.events() if recorded.event.principal] == before
