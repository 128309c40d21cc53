"""No list takes a damaged cursor for a place behind which there is nothing: that would look like the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from admin_api import API, ELSEWHERE, Estate, estate_of
from one_of_everything import BODIES, filled

BY_NUMBER = {"listEvents", "followEvents"}  # whose cursors callers may make: numbers of what is in them


@pytest.fixture
def estate(house: Callable[..., Any], tmp_path: Path, migrated_file: Path) -> Estate:
    """Two of everything that comes in lists."""
    estate = estate_of(house, f"sqlite:///{migrated_file}", tmp_path)
    for path, body in (
        ("apis/used/credentials", {}),
        ("clients/pod/enrolments", {}),
        ("delegations", filled(BODIES["createDelegation"], estate.parts)),
    ):
        answer = ask(estate, "POST", f"{API}/{path}", json=body)
        assert answer.status_code == 201, answer.text
    return estate


def ask(estate: Estate, method: str, path: str, **what: Any) -> Any:
    return estate.door.request(method, path, headers={"Authorization": f"Bearer {estate.keys['admin']}"}, **what)


def test_every_list_refuses_a_cursor_that_it_did_not_give_out(estate: Estate) -> None:
    document = ask(estate, "GET", f"{API}/openapi.json").json()
    lists = {
        what["operationId"]: path.format(**(estate.parts | ELSEWHERE.get(what["operationId"], {})))
        for path, methods in document["paths"].items()
        for what in methods.values()
        if "cursor" in {each["name"] for each in what.get("parameters", ())}
    }
    assert len(lists) >= 12
    given_out = {}
    for name, path in lists.items():
        page = ask(estate, "GET", path, params={"limit": 1}).json()
        if name not in BY_NUMBER:
            given_out[name] = page["next"]
            behind = ask(estate, "GET", path, params={"limit": 1, "cursor": page["next"]}).json()
            assert behind["items"], name
            assert behind["items"] != page["items"]
    for name, path in lists.items():
        mine = given_out.get(name, "")
        others = [each for other, each in given_out.items() if other != name]
        damaged = [mine[:-1], mine[1:], mine + "A", mine.swapcase(), mine + "="] if mine else []
        for cursor in ("zz", "crm", "a@example.com", "-1", "%", "é", "A" * 5000, *damaged, *others):
            answer = ask(estate, "GET", path, params={"cursor": cursor})
            assert (answer.status_code, answer.json().get("field")) == (400, "cursor"), (name, cursor, answer.text)
            assert answer.json()["details"]
