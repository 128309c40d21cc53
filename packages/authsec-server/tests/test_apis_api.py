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


def test_an_edit_says_all_that_it_describes_from_then_on(admin: TestClient) -> None:
    api = admin.post(PATH, json=NEW).json()
    described = [{"action": "customers:list", "description": "List customers"}]
    answer = admin.patch(f"{PATH}/customers", json={"actions": described}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"][:2]) == (200, '"2'), answer.text
    changed_at = answer.json()["changed_at"]
    assert answer.json() == api | {"actions": described, "revision": 2, "changed_at": changed_at}
    for change, field in (({"kind": "api"}, "kind"), ({"identifier": "https://X.example"}, "identifier")):
        answer = admin.patch(f"{PATH}/customers", json=change, headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["field"]) == (400, field), change
    outdated = admin.patch(f"{PATH}/customers", json={"name": "CRM"}, headers={"If-Match": '"1"'}).json()
    assert (outdated["reason"], outdated["changed_fields"]) == ("outdated", ["actions"])


def test_an_api_is_forgotten_with_its_credentials(admin: TestClient) -> None:
    api = admin.post(PATH, json=NEW).json()
    made = admin.post(f"{PATH}/customers/credentials?dry_run=1", json={}).json()
    assert made["would_answer"]["credential"] is None
    assert [each["kind"] for each in made["would_change"]] == ["api.credential_created"]
    assert admin.get(f"{PATH}/customers/credentials").json() == {"items": [], "next": None}
    assert admin.delete(f"{PATH}/customers").json() == api
    assert admin.get(PATH).json()["items"] == []
