"""An empty allow-list that meant "everything": shipped by others more than once. Here nothing to check means no."""

from __future__ import annotations

from starlette.testclient import TestClient

API = "/authsec/api/v1"
DELEGATION = {"role": "support", "client": "plain", "target_type": "Other AI agent", "max_duration": 60}


def test_no_selectors_is_not_every_workload(admin: TestClient) -> None:
    for platform in ("kubernetes", "docker", "unix"):
        for body in ({"selectors": []}, {}):
            answer = admin.post(f"{API}/clients", json={"name": "Agent", "platform": platform, **body})
            assert (answer.status_code, answer.json()["field"]) == (400, "selectors")


def test_no_actions_is_not_every_action(admin: TestClient) -> None:
    answer = admin.post(f"{API}/roles", json={"name": "Support", "actions": []})
    assert (answer.status_code, answer.json()["field"]) == (400, "actions")
    admin.post(f"{API}/roles", json={"name": "Support", "actions": ["customers:read"]})
    admin.post(f"{API}/clients", json={"name": "Plain", "platform": "unattested"})
    for body in ({"actions": []}, {}, {"actions": [], "all_actions": False}):
        answer = admin.post(f"{API}/delegations", json={**DELEGATION, **body})
        assert (answer.status_code, answer.json()["field"]) == (400, "actions")


def test_no_wildcard_is_every_action_either(admin: TestClient) -> None:
    for action in ("*", "*:*", "customers:*", "*:read", "customers:re*"):
        answer = admin.post(f"{API}/roles", json={"name": "Support", "actions": [action]})
        assert answer.status_code == 400
        assert "ildcards are not supported" in answer.json()["error"]
