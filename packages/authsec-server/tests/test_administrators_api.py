"""Administrators and one-time links over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.accounts.model.sessions import BrowserCaller

PATH = "/authsec/api/v1/administrators"
LINKS = "/authsec/api/v1/setup-links"
EVENTS = "/authsec/api/v1/events"
House = Any
ANN = {"email": "Ann@Example.com", "name": "Ann", "role": "admin"}


@pytest.fixture
def operator(house: Callable[..., House]) -> Any:
    """The local operator's door."""
    return house(local_operator=True).door()


def invite(door: Any, **changes: str) -> dict[str, Any]:
    answer = door.post(PATH, json=ANN | changes)
    assert answer.status_code == 201, answer.text
    invited: dict[str, Any] = answer.json()
    return invited


def admin_key(operator: Any, role: str = "admin") -> dict[str, str]:
    made = operator.post("/authsec/api/v1/admin-keys", json={"name": f"key {role}", "role": role}).json()
    return {"Authorization": f"Bearer {made['key']}"}


def test_an_invitation_shows_its_link_once(operator: Any) -> None:
    answer = operator.post(PATH, json=ANN)
    assert answer.headers["Cache-Control"] == "no-store"
    invited = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{invited['id']}"
    link = invited.pop("link")
    assert link["url"] == "http://127.0.0.1:7468" + link["path"]
    assert link["path"].startswith("/console/set-up?code=")
    assert (link["purpose"], link["expires_at"]) == ("set_password", "2026-11-26T12:00:00Z")
    assert invited | {"id": "", "changed_at": None} == {
        "id": "",
        "email": "ann@example.com",
        "name": "Ann",
        "role": "admin",
        "has_password": False,
        "has_second_factor": False,
        "issuer": None,
        "created_at": "2026-11-25T12:00:00Z",
        "last_sign_in_at": None,
        "disabled_at": None,
        "revision": 1,
        "changed_at": None,
    }
    code = link["path"].partition("=")[2]
    for where in (PATH, f"{PATH}/{invited['id']}", EVENTS):
        assert code not in operator.get(where).text
    for reference in (invited["id"], "ann@example.com", "ANN@example.com"):
        assert operator.get(f"{PATH}/{reference}").json() == invited


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"email": "ann"}, "email"),
    ({"name": ""}, "name"),
    ({"role": "root"}, "role"),
    ({"role": "ADMIN"}, "role"),
    ({"password": "violet tram kiosk"}, "password"),
]


def test_an_invitation_that_cannot_be_made(operator: Any) -> None:
    for changes, field in UNUSABLE:
        answer = operator.post(PATH, json=ANN | changes)
        assert (answer.status_code, answer.json()["field"]) == (400, field), changes
    assert operator.get(PATH).json() == {"items": [], "next": None}


def test_pages(operator: Any) -> None:
    for name in ("c", "a", "b"):
        invite(operator, email=f"{name}@example.com")
    first = operator.get(PATH, params={"limit": 2}).json()
    assert [each["email"][0] for each in first["items"]] == ["a", "b"]
    second = operator.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()
    assert ([each["email"][0] for each in second["items"]], second["next"]) == (["c"], None)
    assert operator.get(PATH, params={"cursor": "B@example.com"}).status_code == 400


def test_turning_somebody(operator: Any) -> None:
    invite(operator)
    invite(operator, email="bob@example.com", role="viewer")
    assert operator.post(f"{PATH}/bob@example.com/disable").json()["disabled_at"] == "2026-11-25T12:00:00Z"
    assert operator.post(f"{PATH}/bob@example.com/enable").json()["disabled_at"] is None
    assert operator.post(f"{PATH}/bob@example.com/end-sessions").status_code == 200
    assert operator.post(f"{PATH}/nobody@example.com/disable").status_code == 404


def test_another_role_and_another_name(operator: Any) -> None:
    invite(operator)
    bob = invite(operator, email="bob@example.com", role="viewer", name="Bob")
    where = f"{PATH}/bob@example.com"

    def edit(tag: str | None, **changes: str | None) -> Any:
        return operator.patch(where, json=changes, headers={"If-Match": tag} if tag else {})

    assert edit(None, role="operator").status_code == 428
    assert operator.get(where).headers["ETag"][:2] == '"1'
    changed = edit('"1"', role="operator")
    assert (changed.status_code, changed.json()["role"], changed.headers["ETag"][:2]) == (200, "operator", '"2')
    outdated = edit('"1"', role="viewer")
    assert (outdated.status_code, outdated.json()["reason"], outdated.headers["ETag"][:2]) == (412, "outdated", '"2')
    assert outdated.json()["changed_fields"] == ["role"]
    both = edit("*", role="admin", name="Robert").json()
    assert (both["id"], both["role"], both["name"]) == (bob["id"], "admin", "Robert")
    for changes in ({"role": "root"}, {"role": None}, {"email": "b@example.com"}, {"name": ""}):
        assert edit("*", **changes).status_code == 400, changes
    assert edit("*").json() == both


def test_a_rehearsal_makes_nobody_and_no_link(operator: Any) -> None:
    """What is answered has no link that would work, and nobody is there afterwards, nor anything in the audit log."""
    before = operator.get(EVENTS).json()
    for path, body, secrets in [
        (PATH, ANN, ("link", "url")),
        (LINKS, {"purpose": "first_administrator"}, ("url",)),
        ("/authsec/api/v1/admin-keys", {"name": "ci", "role": "viewer"}, ("key",)),
    ]:
        told = operator.post(path, json=body, params={"dry_run": "1"})
        assert (told.status_code, told.json()["dry_run"], told.json()["would_stop"]) == (200, True, None), path
        assert len(told.json()["would_change"]) == 1
        secret = told.json()["would_answer"]
        for member in secrets:
            secret = secret[member]
        assert secret is None
        assert "code=" not in told.text
        assert "authsec_" not in told.text
    assert operator.get(EVENTS).json() == before
    assert operator.get(PATH).json()["items"] == operator.get("/authsec/api/v1/admin-keys").json()["items"] == []


def test_links_of_the_machine(operator: Any) -> None:
    first = operator.post(LINKS, json={"purpose": "first_administrator"})
    assert (first.status_code, first.headers["Cache-Control"]) == (201, "no-store")
    assert first.json()["expires_at"] == "2026-11-25T12:15:00Z"
    invite(operator)
    late = operator.post(LINKS, json={"purpose": "first_administrator"})
    assert (late.status_code, "--email" in late.json()["details"]) == (409, True)
    for purpose in ("set_password", "sign_in"):
        made = operator.post(LINKS, json={"purpose": purpose, "email": "ann@example.com"})
        assert (made.status_code, made.json()["purpose"]) == (201, purpose)
        assert operator.post(LINKS, json={"purpose": purpose, "email": "b@example.com"}).status_code == 404
        assert operator.post(LINKS, json={"purpose": purpose}).json()["field"] == "email"
    for body in ({}, {"purpose": "any"}, {"purpose": "first_administrator", "email": "ann@example.com"}):
        assert operator.post(LINKS, json=body).status_code == 400


def test_a_console_cookie_opens_the_console_and_not_the_api(house: Callable[..., House], operator: Any) -> None:
    """Cookies come along by themselves; a key must be sent on purpose. So no page elsewhere can call the API."""
    its = house()
    link = its.authority.sign_in.first_link()

    new = its.authority.sign_in.set_up_first(
        link.code,
        email="ann@example.com",
        name="Ann",
        password="violet tram kiosk",
        caller=BrowserCaller(request_id="req_00000000000000000000000r", address=""),
    )
    answer = its.door().get(PATH, headers={"Cookie": f"authsec-session-7468={new.cookie}"})
    assert (answer.status_code, answer.json()["reason"]) == (401, "not_authenticated")


def test_who_may(house: Callable[..., House], operator: Any) -> None:
    invite(operator)
    door = house().door()
    for role in ("viewer", "operator"):
        key = admin_key(operator, role)
        assert door.get(PATH, headers=key).status_code == 200
        for path, body in [
            (PATH, ANN | {"email": "b@example.com", "role": "viewer"}),
            (f"{PATH}/ann@example.com/disable", None),
            (f"{PATH}/ann@example.com/end-sessions", None),
        ]:
            assert door.post(path, json=body, headers=key).status_code == 403, path
        edited = door.patch(f"{PATH}/ann@example.com", json={"role": "viewer"}, headers=key | {"If-Match": "*"})
        assert edited.status_code == 403
    key = admin_key(operator)
    assert door.post(PATH, json=ANN | {"email": "b@example.com"}, headers=key).status_code == 201
    assert {door.request(method, path).status_code for method, path in [("GET", PATH), ("POST", LINKS)]} == {401}
