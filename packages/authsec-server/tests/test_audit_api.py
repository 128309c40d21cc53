"""The journal over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from starlette.testclient import TestClient

PATH = "/authsec/api/v1/events"
ROLES = "/authsec/api/v1/roles"


def create_role(admin: TestClient, name: str) -> str:
    answer = admin.post(ROLES, json={"name": name, "actions": ["customers:read"]})
    assert answer.status_code == 201
    return answer.headers["X-Request-ID"]


def events(admin: TestClient, **query: Any) -> dict[str, Any]:
    answer = admin.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def test_an_event_as_the_admin_api_shows_it(admin: TestClient) -> None:
    request_id = create_role(admin, "Support")
    event = events(admin)["items"][0]
    role = admin.get(f"{ROLES}/support").json()
    assert event == {
        "id": event["id"],
        "at": event["at"],
        "kind": "role.created",
        "count": 1,
        "counted": False,
        "request_id": request_id,
        "principal": {"kind": "local_operator", "id": "", "name": "local operator", "role": "admin"},
        "client": None,
        "delegations": [],
        "roles": [{"id": role["id"], "name": "Support"}],
        "subject": None,
        "decision": None,
        "reason": "",
        "address": event["address"],
        "authority_version": event["authority_version"],
        "jti": "",
        "kid": "",
        "token_sha256": "",
        "expires_at": None,
        "detail": event["detail"],
    }
    assert event["at"].endswith("Z")


def test_names_stay_as_they_were(admin: TestClient) -> None:
    made = admin.post("/authsec/api/v1/clients", json={"name": "Old name", "platform": "unattested"}).json()
    assert events(admin)["items"][0]["client"] == {"id": made["client_id"], "name": "Old name"}


def test_pages_go_back_in_time(admin: TestClient) -> None:
    for name in ("one", "two", "three"):
        create_role(admin, name)
    everything = events(admin)["items"]
    assert everything[0]["roles"][0]["name"] == "three"
    seen, cursor = [], None
    while True:
        page = events(admin, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
        assert cursor == str(page["items"][-1]["id"])
    assert seen == everything
    exactly = events(admin, limit=len(everything))
    assert (len(exactly["items"]), exactly["next"]) == (len(everything), None)


def test_a_full_page_at_the_largest_limit_knows_what_follows(house: Callable[..., Any]) -> None:
    opened = house(local_operator=True)
    admin = opened.door()
    event = Event(at=opened.clock.at, kind=EventKind.ROLE_CREATED, request_id="req_many")
    opened.authority.database.append(lambda tx: [audit.record(tx, event) for _ in range(201)])
    page = events(admin, limit=200)
    assert len(page["items"]) == 200
    assert events(admin, limit=200, cursor=page["next"])["items"][0]["id"] == page["items"][-1]["id"] - 1


def test_one_request_is_found_by_its_id(admin: TestClient) -> None:
    create_role(admin, "one")
    wanted = create_role(admin, "two")
    found = events(admin, request_id=wanted)["items"]
    assert [event["roles"][0]["name"] for event in found] == ["two"]
    assert events(admin, request_id="req_nobody")["items"] == []


def test_what_cannot_be_asked_for(admin: TestClient) -> None:
    for query in (
        "limit=0",
        "limit=201",
        "limit=ten",
        "cursor=0",
        "cursor=-1",
        "cursor=%D9%A1",
        "cursor=9999999999999999999",
        "request_id=",
        "request_id=%00",
        "request_id=a&request_id=b",
        "request_id=" + "x" * 41,
        "jti=a%20b",
        "reason=",
        "client_id=customer-support",
    ):
        answer = admin.get(f"{PATH}?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0]), query


def test_it_cannot_be_written_or_deleted(admin: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert admin.request(method, PATH).status_code == 405
