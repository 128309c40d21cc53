"""Trust delegations over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

PATH = "/authsec/api/v1/delegations"
NEW = {
    "role": "support",
    "client": "customer-support",
    "target_type": "AutoGen AI agent",
    "actions": ["customers:read"],
    "max_duration": 3600,
}


@pytest.fixture
def parties(admin: TestClient) -> dict[str, Any]:
    """A role and a client to tie together."""
    role = {"name": "Support", "actions": ["customers:read", "customers:delete"]}
    client = {"name": "Customer Support", "platform": "unattested"}
    return {
        "role": admin.post("/authsec/api/v1/roles", json=role).json(),
        "client": admin.post("/authsec/api/v1/clients", json=client).json(),
    }


def create(admin: TestClient, **what: Any) -> dict[str, Any]:
    answer = admin.post(PATH, json={**NEW, **what})
    assert answer.status_code == 201, answer.text
    delegation: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{delegation['id']}"
    return delegation


def test_a_delegation_as_the_admin_api_shows_it(admin: TestClient, parties: dict[str, Any]) -> None:
    admin.post("/authsec/api/v1/apis", json={"name": "CRM", "identifier": "https://crm.example"}).raise_for_status()
    delegation = create(
        admin,
        audiences=["customers-api"],
        excluded_proofs=["secret"],
        ends_at="2099-01-01T01:00:00+01:00",
        description="For the pilot",
    )
    role, client = parties["role"], parties["client"]
    warnings = delegation.pop("warnings")
    created_at = delegation.pop("created_at")
    assert created_at.endswith("Z")
    assert delegation == {
        "id": delegation["id"],
        "slug": "customer-support-support",
        "role": {"id": role["id"], "slug": "support", "name": "Support"},
        "client": {
            "id": client["client_id"],
            "slug": "customer-support",
            "name": "Customer Support",
            "unattested": True,
        },
        "target_type": "AutoGen AI agent",
        "actions": ["customers:read"],
        "max_duration": 3600,
        "audiences": ["customers-api"],
        "excluded_proofs": ["secret"],
        "require_dpop": False,
        "ends_at": "2099-01-01T00:00:00Z",
        "state": "live",
        "revoked_at": None,
        "owner": "local operator",
        "description": "For the pilot",
        "revision": 1,
        "changed_at": None,
        "changed_by": None,
    }
    assert [each["code"] for each in warnings] == [
        "client_unattested",
        "audience_not_registered",
        "action_not_described",
    ]
    shown = admin.get(f"{PATH}/{delegation['id']}").json()
    assert shown == {**delegation, "warnings": warnings, "created_at": created_at}
    assert admin.get(PATH).json() == {"items": [shown], "next": None}


def test_all_actions(admin: TestClient, parties: dict[str, Any]) -> None:
    delegation = create(admin, actions=[], all_actions=True)
    assert delegation["actions"] == parties["role"]["actions"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"role": "nobody"}, "role"),
    ({"client": "nobody"}, "client"),
    ({"target_type": "AutoGen"}, "target_type"),
    ({"actions": []}, "actions"),
    ({"actions": ["customers:list"]}, "actions.0"),
    ({"all_actions": True}, "actions"),
    ({"all_actions": "yes"}, "all_actions"),
    ({"max_duration": 59}, "max_duration"),
    ({"max_duration": 10**15}, "max_duration"),
    ({"max_duration": "1h"}, "max_duration"),
    ({"max_duration": 60.5}, "max_duration"),
    ({"max_duration": True}, "max_duration"),
    ({"audiences": ["https://x/#y"]}, "audiences.0"),
    ({"excluded_proofs": ["token"]}, "excluded_proofs.0"),
    ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
    ({"ends_at": "tomorrow"}, "ends_at"),
    ({"ends_at": "2099-01-01"}, "ends_at"),
    ({"ends_at": "2099-01-01T00:00:00"}, "ends_at"),
    ({"ends_at": "2099-02-30T00:00:00Z"}, "ends_at"),
    ({"ends_at": "9999-12-31T23:59:59-10:00"}, "ends_at"),
    ({"ends_at": 4070908800}, "ends_at"),
]


def test_what_is_refused_is_named_and_leaves_nothing(admin: TestClient, parties: dict[str, Any]) -> None:
    for change, field in REFUSED:
        answer = admin.post(PATH, json={**NEW, **change})
        assert (answer.status_code, answer.json()["field"]) == (400, field), change
    assert admin.get(PATH).json()["items"] == []


def test_off_on_and_over(admin: TestClient, parties: dict[str, Any]) -> None:
    one = f"{PATH}/{create(admin)['id']}"
    assert admin.post(f"{one}/disable").json()["state"] == "disabled"
    assert admin.post(f"{one}/enable").json()["state"] == "live"
    revoked = admin.post(f"{one}/revoke").json()
    assert revoked["state"] == "revoked"
    assert revoked["revoked_at"].endswith("Z")
    assert revoked["warnings"] == [], "there is nothing left to warn of"
    assert revoked["client"]["unattested"] is True, "but what the client is stays to be seen"
    again = admin.post(f"{one}/revoke").json()
    assert {name for name, value in again.items() if value != revoked[name]} <= {"revision", "changed_at"}
    answer = admin.post(f"{one}/enable")
    assert answer.status_code == 409
    assert answer.json()["details"] == "Create a new delegation instead."


def test_lists_come_in_pages(admin: TestClient, parties: dict[str, Any]) -> None:
    made = {create(admin, max_duration=60 * minutes)["id"] for minutes in (1, 2, 3)}
    first = admin.get(PATH, params={"limit": 2}).json()
    second = admin.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()
    assert {each["id"] for each in first["items"] + second["items"]} == made
    assert second["next"] is None
    for cursor in ("support", "%00", "6f1d2a34-0000-4000-8000-000000000001"):
        answer = admin.get(f"{PATH}?cursor={cursor}")
        assert (answer.status_code, answer.json()["field"]) == (400, "cursor")


def test_an_unknown_delegation_is_not_found(admin: TestClient) -> None:
    for handle in ("nobody", "%00", "6f1d2a34-0000-4000-8000-000000000001"):
        assert admin.get(f"{PATH}/{handle}").status_code == 404
        assert admin.post(f"{PATH}/{handle}/revoke").status_code == 404


def test_the_same_is_not_created_twice(admin: TestClient, parties: dict[str, Any]) -> None:
    made = create(admin)
    answer = admin.post(PATH, json={**NEW, "owner": "Somebody else"})
    assert answer.status_code == 409
    assert answer.json()["reason"] == "conflict"
    assert answer.json()["error"] == f"The same trust delegation already exists: {made['slug']}. Nothing was created."
    assert [each["id"] for each in admin.get(PATH).json()["items"]] == [made["id"]]
