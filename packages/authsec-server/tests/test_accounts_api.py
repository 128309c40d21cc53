"""Admin keys over HTTP: making them, coming in with them, being turned away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.accounts.authentication import FAILURES_A_MINUTE

PATH = "/authsec/api/v1/admin-keys"
EVENTS = "/authsec/api/v1/events"
House = Any


@pytest.fixture
def served(house: Callable[..., House]) -> House:
    """An authority as it is served: every request needs an admin key."""
    return house()


def make(house: Callable[..., House], name: str = "ops", role: str = "admin", **more: Any) -> dict[str, Any]:
    """An admin key, made by the local operator at the same data."""
    answer = house(local_operator=True).door().post(PATH, json={"name": name, "role": role, **more})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def bearer(key: dict[str, Any] | str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key['key']}"}


def test_a_new_key_shows_its_secret_once(house: Callable[..., House]) -> None:
    door = house(local_operator=True).door()
    answer = door.post(PATH, json={"name": "ci", "role": "operator", "expires_in": 86_400})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    key = answer.json()
    assert (key["name"], key["role"]) == ("ci", "operator")
    assert (key["created_at"], key["expires_at"]) == ("2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z")
    assert key["key"].startswith("authsec_")
    shown = {name: key[name] for name in key if name != "key"}
    listed = door.get(PATH)
    assert listed.json() == {"items": [shown], "next": None}
    for where in (answer.headers["Location"], f"{PATH}/ci"):
        assert door.get(where).json() == shown
    for page in (listed, door.get(f"{PATH}/ci"), door.get(EVENTS)):
        assert key["key"] not in page.text


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"role": "admin"}, "name"),
    ({"name": "a"}, "role"),
    ({"name": "a", "role": "root"}, "role"),
    ({"name": "a", "role": "ADMIN"}, "role"),
    ({"name": "a", "role": "admin", "expires_in": 1}, "expires_in"),
    ({"name": "a", "role": "admin", "expires_in": 10**15}, "expires_in"),
    ({"name": "a", "role": "admin", "expires_in": "1h"}, "expires_in"),
    ({"name": "a", "role": "admin", "key": "authsec_mine"}, "key"),
    ({"name": "a\x1b[2Jb", "role": "admin"}, "name"),
    ({"name": "6f1d2a34-0000-4000-8000-000000000001", "role": "admin"}, "name"),
    ({"name": "authsec_" + "a" * 43, "role": "admin"}, "name"),
]


def test_a_key_that_cannot_be_made(house: Callable[..., House]) -> None:
    door = house(local_operator=True).door()
    for body, field in UNUSABLE:
        answer = door.post(PATH, json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
    assert door.get(PATH).json()["items"] == []


def test_pages(house: Callable[..., House]) -> None:
    door = house(local_operator=True).door()
    for name in ("bravo", "ünï", "alpha"):
        door.post(PATH, json={"name": name, "role": "viewer"})
    first = door.get(PATH, params={"limit": 2}).json()
    second = door.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()
    assert [key["name"] for key in first["items"] + second["items"]] == ["alpha", "bravo", "ünï"]
    assert second["next"] is None
    assert door.get(f"{PATH}?cursor=%00").status_code == 400


def test_coming_in(house: Callable[..., House], served: House) -> None:
    key = make(house)
    door = served.door("192.0.2.1")
    assert door.get(PATH, headers=bearer(key)).status_code == 200
    assert door.get(PATH, headers={"Authorization": f"bEARER {key['key']}"}).status_code == 200
    served.clock.at += timedelta(seconds=61)
    assert door.get(PATH, headers=bearer(key)).status_code == 200
    assert served.door("192.0.2.2").get(PATH, headers=bearer(key)).status_code == 200

    events = door.get(EVENTS, headers=bearer(key)).json()["items"]
    sign_ins = [(event["at"][11:19], event["address"]) for event in events if event["kind"] == "admin.sign_in"]
    assert sign_ins == [("12:01:01", "192.0.2.2"), ("12:01:01", "192.0.2.1"), ("12:00:00", "192.0.2.1")]
    assert all(
        event["principal"] == {"kind": "admin_key", "id": key["id"], "name": "ops", "role": "admin"}
        for event in events
        if event["kind"] == "admin.sign_in"
    )
    (listed,) = door.get(PATH, headers=bearer(key)).json()["items"]
    assert listed["last_used_at"] == "2026-11-25T12:01:01Z"


def test_what_is_done_with_a_key_is_recorded_under_its_name(house: Callable[..., House], served: House) -> None:
    key = make(house)
    door = served.door("192.0.2.1", **bearer(key))
    made = door.post(PATH, json={"name": "second", "role": "viewer"})
    (event,) = door.get(EVENTS, params={"request_id": made.headers["X-Request-ID"], "limit": 1}).json()["items"]
    assert (event["kind"], event["principal"]["name"], event["address"]) == ("admin_key.created", "ops", "192.0.2.1")


ODD: list[tuple[list[tuple[str, str]], str]] = [
    ([], "admin_key_missing"),
    ([("Authorization", "")], "not_an_admin_key"),
    ([("Authorization", "Bearer")], "not_an_admin_key"),
    ([("Authorization", "Bearer  KEY")], "not_an_admin_key"),
    ([("Authorization", "Basic KEY")], "not_an_admin_key"),
    ([("Authorization", "KEY")], "not_an_admin_key"),
    ([("Authorization", "Bearer KEY KEY")], "not_an_admin_key"),
    ([("Authorization", "Bearer KEY,")], "not_an_admin_key"),
    ([("Authorization", "Bearer KEY"), ("Authorization", "Bearer KEY")], "not_an_admin_key"),
    ([("Authorization", "Bearer authsec_" + "A" * 43)], "admin_key_unknown"),
    ([("X-Admin-Key", "KEY")], "admin_key_missing"),
]


def test_being_turned_away(house: Callable[..., House], served: House) -> None:
    key = make(house)
    for number, (headers, reason) in enumerate(ODD):
        sent = [(name, value.replace("KEY", key["key"])) for name, value in headers]
        address = f"192.0.2.{number}"
        answer = served.door(address).get(f"{PATH}?key={key['key']}", headers=sent)
        assert (answer.status_code, answer.json()["reason"]) == (401, "not_authenticated"), headers
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="authsec admin"'
        assert "authsec admin create-key" in answer.json()["details"]
        assert key["key"] not in answer.text
        events = served.door(**bearer(key)).get(EVENTS, params={"request_id": answer.headers["X-Request-ID"]})
        (event,) = events.json()["items"]
        assert (event["kind"], event["reason"], event["decision"]) == ("admin.sign_in_refused", reason, "denied")
        assert (event["address"], event["principal"]) == (address, None)


def test_what_is_said_of_a_key_as_it_nears_its_end(house: Callable[..., House]) -> None:
    its = house(local_operator=True)
    door = its.door()
    door.post(PATH, json={"name": "ci", "role": "viewer", "expires_in": 30 * 86_400})
    states = []
    for days in (22, 1, 6, 1):
        its.clock.at += timedelta(days=days)
        states.append(door.get(f"{PATH}/ci").json()["state"])
    assert states == ["active", "expires_soon", "expires_soon", "expired"]
    assert door.post(f"{PATH}/ci/revoke").json()["state"] == "revoked"
    for unknown in ("none", "6f1d2a34-0000-4000-8000-000000000001", "%00", "a%0Ab"):
        assert door.get(f"{PATH}/{unknown}").status_code == 404, unknown


def test_a_key_that_expired(house: Callable[..., House], served: House) -> None:
    key = make(house, expires_in=3600)
    door = served.door(**bearer(key))
    served.clock.at += timedelta(minutes=59)
    assert door.get(PATH).status_code == 200
    served.clock.at += timedelta(minutes=1)
    answer = door.get(PATH)
    assert (answer.status_code, answer.json()["error"]) == (401, "The admin key 'ops' has expired.")


def test_a_key_that_was_revoked_is_out_at_once_and_named_in_the_audit_log(
    house: Callable[..., House], served: House
) -> None:
    key, other = make(house), make(house, "other")
    door, others = served.door(**bearer(key)), served.door(**bearer(other))
    assert door.get(PATH).status_code == 200
    revoked = others.post(f"{PATH}/{key['id']}/revoke")
    assert (revoked.status_code, revoked.json()["revoked_at"]) == (200, "2026-11-25T12:00:00Z")
    answer = door.get(PATH)
    assert (answer.status_code, answer.json()["error"]) == (401, "The admin key 'ops' was revoked.")
    event = others.get(EVENTS, params={"limit": 1}).json()["items"][0]
    assert (event["reason"], event["subject"]) == ("admin_key_revoked", {"id": key["id"], "name": "ops"})


def test_a_right_key_is_never_limited(house: Callable[..., House], served: House) -> None:
    door = served.door(**bearer(make(house)))
    assert {door.get(PATH).status_code for _ in range(3 * FAILURES_A_MINUTE)} == {200}
