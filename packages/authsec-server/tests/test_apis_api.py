"""Protected APIs over HTTP."""

from __future__ import annotations

from starlette.testclient import TestClient

PATH = "/authsec/api/v1/apis"
NEW = {
    "name": "Customers",
    "identifier": "https://api.example.com/customers",
    "actions": [{"action": "customers:read", "description": "Read a customer"}],
}


def test_an_api_as_the_admin_api_shows_it(admin: TestClient) -> None:
    answer = admin.post(PATH, json={**NEW, "kind": "mcp_server", "slug": "crm", "description": "The CRM"})
    assert answer.status_code == 201, answer.text
    api = answer.json()
    assert {name: api[name] for name in NEW} == NEW
    assert (api["kind"], api["slug"], api["description"]) == ("mcp_server", "crm", "The CRM")
    assert answer.headers["Location"] == f"{PATH}/{api['id']}"
    assert admin.get(f"{PATH}/crm").json() == admin.get(f"{PATH}/{api['id']}").json() == api
    assert admin.get(PATH).json() == {"items": [api], "next": None}


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"kind": "database"}, "kind"),
    ({"identifier": "https://api.example.com/#x"}, "identifier"),
    ({"actions": [{"action": "customers:read"}]}, "actions.0.description"),
    ({"actions": [{"action": "customers:*", "description": "x"}]}, "actions.0.action"),
]


def test_what_is_refused_is_named(admin: TestClient) -> None:
    for change, field in REFUSED:
        answer = admin.post(PATH, json={**NEW, **change})
        assert (answer.status_code, answer.json()["field"]) == (400, field), change
    assert admin.get(PATH).json()["items"] == []


def test_the_same_audience_twice_is_a_conflict(admin: TestClient) -> None:
    admin.post(PATH, json=NEW)
    answer = admin.post(PATH, json={**NEW, "slug": "other"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "conflict")
