"""Editing and deleting over HTTP, on the model of roles: revisions as ETags, what others changed, what is in use."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

PATH = "/authsec/api/v1/roles"
WHERE = f"{PATH}/support"


def create(admin: TestClient, **what: Any) -> dict[str, Any]:
    answer = admin.post(PATH, json={"name": "Support", "actions": ["customers:read"], **what})
    assert (answer.status_code, answer.headers["ETag"][:2]) == (201, '"1')
    role: dict[str, Any] = answer.json()
    return role


def edit(admin: TestClient, tag: str | None, **what: Any) -> Any:
    return admin.patch(WHERE, json=what, headers={} if tag is None else {"If-Match": tag})


def test_what_is_left_out_stays(admin: TestClient) -> None:
    role = create(admin, description="First line")
    answer = edit(admin, '"1"', name="Help desk")
    assert (answer.status_code, answer.headers["ETag"][:2]) == (200, '"2')
    changed_at = answer.json()["changed_at"]
    assert answer.json() == role | {"name": "Help desk", "revision": 2, "changed_at": changed_at}
    assert admin.get(WHERE).headers["ETag"][:2] == '"2'
    same = edit(admin, '"2"')
    assert (same.status_code, same.headers["ETag"][:2]) == (200, '"2'), "nothing was asked for"
    for body, field in (({"name": None}, "name"), ({"actions": []}, "actions"), ({"slug": "other"}, "slug")):
        answer = edit(admin, "*", **body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body


def test_nobodys_edit_is_undone_unseen(admin: TestClient) -> None:
    create(admin)
    missing = edit(admin, None, name="Help desk")
    assert (missing.status_code, missing.json()["reason"]) == (428, "precondition_required")
    assert edit(admin, '"1"', name="Help desk").status_code == 200
    assert edit(admin, '"2"', actions=["tickets:read"]).status_code == 200
    outdated = edit(admin, '"1"', description="First line")
    told = outdated.json()
    assert (outdated.status_code, told["reason"], outdated.headers["ETag"][:2]) == (412, "outdated", '"3')
    assert (told["changed_by"], told["changed_fields"]) == ("local operator", ["actions", "name"])
    assert told["changed_at"] == admin.get(WHERE).json()["changed_at"]
    assert edit(admin, '"2"').json()["changed_fields"] == ["actions"]
    assert edit(admin, "*", description="First line").headers["ETag"][:2] == '"4'


def test_a_tag_that_no_answer_gave(admin: TestClient) -> None:
    create(admin)
    for tag in ('W/"1"', "1", '"x"', '"0"', '""', '"1", "2"', '"01"', "", f'"{"9" * 30}"', '"\u0661"'.encode()):
        answer = admin.patch(WHERE, json={}, headers=[(b"If-Match", tag)])
        assert (answer.status_code, answer.json()["field"]) == (400, "If-Match"), tag
    twice = admin.patch(WHERE, json={}, headers=[("If-Match", '"1"'), ("If-Match", '"1"')])
    assert twice.status_code == 400
    elsewhere = admin.post(PATH, json={"name": "B", "actions": ["a:b"]}, headers={"If-Match": '"1"'})
    assert (elsewhere.status_code, elsewhere.json()["field"]) == (400, "If-Match")


def test_a_role_that_nobody_uses_is_deleted(admin: TestClient) -> None:
    role = create(admin)
    assert admin.delete(WHERE, headers={"If-Match": '"7"'}).status_code == 412
    gone = admin.delete(WHERE)
    assert (gone.status_code, gone.json()) == (200, role)
    assert admin.get(WHERE).status_code == admin.delete(WHERE).status_code == 404
