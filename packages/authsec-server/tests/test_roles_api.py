"""Roles over HTTP; and what all lists and handles of the admin API have in common."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

PATH = "/authsec/api/v1/roles"


def create(admin: TestClient, name: str = "Support", **what: Any) -> dict[str, Any]:
    answer = admin.post(PATH, json={"name": name, "actions": ["customers:read"], **what})
    assert answer.status_code == 201, answer.text
    role: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{role['id']}"
    return role


def test_a_role_as_the_admin_api_shows_it(admin: TestClient) -> None:
    role = create(admin, actions=["tickets:write", "customers:read"], description="First line")
    assert set(role) == {"id", "slug", "name", "description", "actions", "created_at", "revision", "changed_at"}
    assert role["actions"] == ["customers:read", "tickets:write"]
    assert role["created_at"].endswith("Z")
    assert admin.get(f"{PATH}/support").json() == admin.get(f"{PATH}/{role['id']}").json() == role


def test_lists_come_in_pages(admin: TestClient) -> None:
    for name in ("charlie", "alpha", "bravo"):
        create(admin, name)
    first = admin.get(PATH, params={"limit": 2}).json()
    assert [role["slug"] for role in first["items"]] == ["alpha", "bravo"]
    second = admin.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()
    assert [role["slug"] for role in second["items"]] == ["charlie"]
    assert second["next"] is None


def test_a_page_that_cannot_be_asked_for(admin: TestClient) -> None:
    for query in ("limit=0", "limit=201", "limit=-1", "limit=ten", "limit=1&limit=2", "cursor=%00", "cursor=A"):
        answer = admin.get(f"{PATH}?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0]), query


def test_an_unknown_role_is_not_found(admin: TestClient) -> None:
    for handle in ("nobody", "%00", "x" * 10_000, "6f1d2a34-0000-4000-8000-000000000001", "%ff"):
        answer = admin.get(f"{PATH}/{handle}")
        assert (answer.status_code, answer.json()["reason"]) == (404, "not_found"), handle


UNUSABLE = [
    (b"", "name"),
    (b"{", "body"),
    (b"[]", "body"),
    (b'{"name": "Support"}', "actions"),
    (b'{"name": "Support", "actions": "customers:read"}', "actions"),
    (b'{"name": "Support", "actions": [7]}', "actions.0"),
    (b'{"name": 7, "actions": ["customers:read"]}', "name"),
    (b'{"name": "Support", "actions": ["customers:read"], "admin": true}', "admin"),
    (b'{"name": "Support", "name": "Other", "actions": ["customers:read"]}', "body"),
    (b'{"name": "a\\u0000b", "actions": ["customers:read"]}', "body"),
    (b'{"name": "a\\ud800b", "actions": ["customers:read"]}', "body"),
    (b'{"name": "Support", "actions": ["customers:*"]}', "actions.0"),
]


def test_a_body_that_cannot_be_used_is_refused_by_field(admin: TestClient) -> None:
    for body, field in UNUSABLE:
        answer = admin.post(PATH, content=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
        assert answer.json()["error"]
    assert admin.get(PATH).json()["items"] == []


def test_a_conflict_says_with_what(admin: TestClient) -> None:
    role = create(admin)
    answer = admin.post(PATH, json={"name": "Support", "actions": ["customers:read"]})
    assert answer.status_code == 409
    assert (answer.json()["reason"], answer.json()["field"]) == ("conflict", "slug")
    assert role["id"] in answer.json()["error"]
    assert answer.json()["details"]


def test_other_methods_are_told_those_that_are_possible(admin: TestClient) -> None:
    answer = admin.delete(PATH)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert admin.head(PATH).status_code == 200
