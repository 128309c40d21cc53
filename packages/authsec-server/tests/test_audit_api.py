"""The audit log over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
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
        "tables": ["role_actions", "roles"],
        "place": None,  # nobody seals here
        "leaf": None,
        "as_sealed": None,
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
    event = Event(at=opened.clock.at, kind=EventKind.ROLE_CREATED, request_id="req_00000000000000000000mani")
    opened.authority.database.append(lambda tx: [audit.record(tx, event) for _ in range(201)])
    page = events(admin, limit=200)
    assert len(page["items"]) == 200
    assert events(admin, limit=200, cursor=page["next"])["items"][0]["id"] == page["items"][-1]["id"] - 1


def test_one_request_is_found_by_its_id(admin: TestClient) -> None:
    create_role(admin, "one")
    wanted = create_role(admin, "two")
    found = events(admin, request_id=wanted)["items"]
    assert [event["roles"][0]["name"] for event in found] == ["two"]
    assert events(admin, request_id="req_000000000000000000nobodi")["items"] == []


def test_what_cannot_be_asked_for(admin: TestClient) -> None:
    for query in (
        "limit=0",
        "limit=201",
        "limit=ten",
        "cursor=0",
        "cursor=-1",
        "cursor=%D9%A1",
        "cursor=99999999999999999999",
        "request_id=",
        "request_id=%00",
        "request_id=a&request_id=b",
        "request_id=" + "x" * 41,
        "jti=a%20b",
        "reason=",
        "client=nobody",
        "client=%00",
        "delegation=nobody",
        "by=nobody%40example.com",
        "by=%00",
        "kind=token",
        "kind=.",
        "kind=",
        "decision=maybe",
        "address=here",
        "since=yesterday",
        "until=2026-13-01T00:00:00Z",
        "order=sideways",
    ):
        answer = admin.get(f"{PATH}?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0]), query


TOKENS = "/authsec/uflow/sdk/delegation-token"


def test_each_filter_finds_what_it_says_and_nothing_else(house: Callable[..., Any]) -> None:
    opened = house(local_operator=True)
    admin = opened.door()
    client_id = opened.delegated_name("Open")
    delegation = admin.get("/authsec/api/v1/delegations").json()["items"][0]
    opened.clock.at += timedelta(hours=1)
    begun = opened.clock.at
    opened.door("192.0.2.7").get(TOKENS, params={"client_id": client_id})
    opened.door("192.0.2.8").get(TOKENS, params={"client_id": client_id, "scope": "customers:write"})
    admin.post("/authsec/api/v1/admin-keys", json={"name": "ci", "role": "admin"})

    def found(**query: str) -> list[tuple[str, str]]:
        items = events(admin, **query)["items"]
        assert items == events(admin, order="oldest", **query)["items"][::-1]
        return [(each["kind"], each["address"]) for each in items]

    issued, refused = ("token.issued", "192.0.2.7"), ("token.refused", "192.0.2.8")
    assert found(client="open", kind="token.issued,token.refused") == [refused, issued]
    assert found(client=client_id, kind="token.") == [refused, issued]
    assert found(decision="granted") == [issued]
    assert found(decision="denied") == [refused] == found(reason="action_not_allowed") == found(address="192.0.2.8")
    for name in (delegation["id"], delegation["slug"]):
        assert [kind for kind, _ in found(delegation=name)] == ["token.issued", "delegation.created"], name
    assert found(delegation="6f1d2a34-0000-4000-8000-000000000001") == []
    at = begun.isoformat().replace("+00:00", "Z")
    assert [kind for kind, _ in found(since=at)] == ["admin_key.created", "token.refused", "token.issued"]
    assert found(until=at, kind="token.") == []
    assert {kind for kind, _ in found(by="server")} == {"key.created", "feed_key.created", "seal_key.created"}
    assert "admin_key.created" in {kind for kind, _ in found(by="local_operator")}
    assert found(by="ci") == []


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "0999-06-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_instant_of_the_calendar_can_be_asked_for(admin: TestClient, instant: str) -> None:
    """Both were a 500 for a viewer: the answer needed the instants around them."""
    create_role(admin, "Support")
    everything = [each["id"] for each in events(admin)["items"]]
    begins, ends = instant.startswith("0"), instant.startswith("9")
    assert [each["id"] for each in events(admin, since=instant)["items"]] == (everything if begins else [])
    assert [each["id"] for each in events(admin, until=instant)["items"]] == (everything if ends else [])
    assert admin.get(f"/console/activity?since={instant}&until={instant}").status_code in {200, 400}


def test_oldest_first_has_pages_too(admin: TestClient) -> None:
    for name in ("one", "two", "three"):
        create_role(admin, name)
    first = events(admin, order="oldest", kind="role.created", limit=2)
    assert [each["roles"][0]["name"] for each in first["items"]] == ["one", "two"]
    rest = events(admin, order="oldest", kind="role.created", limit=2, cursor=first["next"])
    assert [each["roles"][0]["name"] for each in rest["items"]] == ["three"]


def test_one_event_is_told_whole_with_what_would_have_helped(house: Callable[..., Any]) -> None:
    opened = house(local_operator=True)
    admin = opened.door()
    agent = opened.delegated_agent()
    client_id = agent.client_id

    def ask(**query: str) -> Any:
        proved = {"Authorization": f"Bearer {agent.assertion()}"}
        return admin.get(TOKENS, params={"client_id": client_id, **query}, headers=proved)

    refused = ask(scope="customers:write")
    (story,) = admin.get(f"{PATH}/{refused.json()['request_id']}").json()["items"]
    assert story["event"]["reason"] == "action_not_allowed"
    assert "Correct customers:write where the agent requests the action" in story["remedy"]["text"]
    assert admin.get(f"{PATH}/{story['event']['id']}").json()["items"] == [story]
    granted = ask()
    admin.post(f"/authsec/api/v1/clients/{client_id}/revoke-tokens")
    (story,) = admin.get(f"{PATH}/{granted.headers['X-Request-ID']}").json()["items"]
    assert (story["remedy"], story["revoked_at"]) == (None, "2026-11-25T12:00:00Z")
    several = admin.get(f"{PATH}/5").json()["items"]  # all that was set up in one go
    assert several[0]["event"]["id"] == 5
    assert {each["event"]["request_id"] for each in several} == {several[0]["event"]["request_id"]}
    for nothing in ("999", "req_000000000000000000nobodi", "%00", "-1", "9" * 30):
        assert admin.get(f"{PATH}/{nothing}").status_code == 404, nothing
    assert opened.door().get(f"{PATH}/checkpoint").status_code == 404  # a word, and no event: nothing is sealed here


def test_a_rehearsed_replacement_of_the_key_signs_for_no_key(admin: TestClient, house: Callable[..., Any]) -> None:
    rotate = f"{PATH}/keys/rotate"
    assert admin.post(rotate).status_code == 409  # nothing is sealed yet
    opened = house(local_operator=True)  # over the same data
    while opened.authority.dropper.sealer.seal():
        pass
    rehearsed = admin.post(rotate, params={"dry_run": "1"})
    (change,) = rehearsed.json()["would_change"]
    assert (change["kind"], change["detail"]["record"]) == ("seal_key.replaced", "")
    assert events(admin, kind="seal_key.replaced")["items"] == []
    assert len(admin.get(f"{PATH}/keys").json()["keys"]) == 1
    assert admin.post(rotate).status_code == 200


def test_it_cannot_be_written_or_deleted(admin: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert admin.request(method, PATH).status_code == 405
