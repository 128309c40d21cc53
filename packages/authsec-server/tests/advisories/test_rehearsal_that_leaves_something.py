"""An attack, or an accident: a dry run that does something.

Whoever asks what would happen means that nothing does. So every operation that changes anything is rehearsed, and the
whole database compared; then it is done, and the audit log says whether the rehearsal had told the truth. Nor is one a
way around anything: it needs the role of the change itself, and shows no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from authsec_server.db import metadata
from authsec_server.db.database import Tx
from authsec_server.web import openapi
from authsec_server.web.operations import API
from databases import settings_for
from one_of_everything import BODIES, Everything, filled
from starlette.testclient import TestClient

House = Any
Json = dict[str, Any]
NOT_HERE = {"rotateSealingKey"}  # nothing is sealed where no server runs: refused, and the rehearsal as well
SECRETS: Mapping[str, set[str]] = {
    "rotateSecret": {"client_secret"},
    "createEnrolment": {"code"},
    "createApiCredential": {"credential"},
    "createAdminKey": {"key"},
    "inviteAdministrator": {"link.url", "link.path"},
    "makeSetupLink": {"url", "path"},
}
"""What each answer shows once, and no rehearsal shows."""


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def rehearsed(door: TestClient) -> Iterator[tuple[str, str, str]]:
    """The operations that can be rehearsed: name, method, path."""
    for path, methods in door.get(openapi.PATH).json()["paths"].items():
        for method, each in methods.items():
            if any(its["name"] == "dry_run" for its in each.get("parameters", ())):
                yield each["operationId"], method, path


def everything_in(its: House) -> dict[str, list[str]]:
    """Every row of every table."""

    def read(tx: Tx) -> dict[str, list[str]]:
        return {
            table.name: sorted(repr(tuple(row)) for row in tx.connection.execute(table.select()))
            for table in metadata.sorted_tables
        }

    rows: dict[str, list[str]] = its.authority.database.read(read)
    return rows


@pytest.mark.soak
@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_no_rehearsal_leaves_anything_and_each_tells_what_the_change_does(its: House, share: int) -> None:
    """In short runs, a third of the operations."""
    everything, door = Everything(its, its), its.door()
    # How a transaction is undone is the database's doing: on the slower one a few operations show it.
    some = share if its.authority.database.dialect == "sqlite" else 6
    for name, method, path in islice(rehearsed(door), 0, None, some):
        things = everything.things()
        where = filled(path, things)
        sent = {"headers": {"If-Match": "*"}} if method == "patch" else {}
        if method != "delete":
            sent["json"] = filled(BODIES.get(name, {}), things)
        before, told = everything_in(its), list[int]()
        with its.authority.database.telling(lambda told=told: told.append(1)):
            foreseen = door.request(method, f"{where}?dry_run=1", **sent)
        assert (everything_in(its), told) == (before, []), name
        done = door.request(method, where, **sent)
        if name in NOT_HERE:
            assert (foreseen.status_code, foreseen.json()["reason"]) == (done.status_code, done.json()["reason"]), name
            continue
        assert (done.is_success, foreseen.status_code) == (True, 200), (name, done.text, foreseen.text)
        compare(name, foreseen.json(), done, door)


def compare(name: str, foreseen: Json, done: Any, door: TestClient) -> None:
    """What was foreseen is what came, and none of it is a secret."""
    its_own = f"{API}/events/{done.headers['X-Request-ID']}"
    events = door.get(its_own).json()["items"] if foreseen["would_change"] else []
    kinds = [(each["event"]["kind"], sorted(each["event"]["detail"])) for each in events]
    assert [(each["kind"], sorted(each["detail"])) for each in foreseen["would_change"]] == kinds, name
    would, its = dict(leaves(foreseen["would_answer"])), dict(leaves(done.json()))
    assert set(would) == set(its), name
    assert {each for each in its if would[each] is None and its[each] is not None} == SECRETS.get(name, set()), name


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The members of an answer, by their path; of a list, its length."""
    if not isinstance(value, dict):
        yield name, len(value) if isinstance(value, list) else value
        return
    for member, its in value.items():
        yield from leaves(its, f"{name}.{member}" if name else member)


def test_a_rehearsal_needs_the_role_of_the_change_itself(house: Callable[..., House]) -> None:
    machine, its = house(local_operator=True), house()
    everything = Everything(its, machine)
    keys = {
        role: everything.things().post("admin-keys", name=role, role=role)["key"] for role in ("viewer", "operator")
    }
    doors = {role: its.door(Authorization=f"Bearer {key}") for role, key in keys.items()}
    things, stranger = everything.things(), its.door("198.51.100.7")
    for name, method, path in rehearsed(stranger):
        body = {} if method == "delete" else {"json": filled(BODIES.get(name, {}), things)}
        asked = f"{filled(path, things)}?dry_run=1"
        answer = doors["viewer"].request(method, asked, headers={"If-Match": "*"} if method == "patch" else {}, **body)
        assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted"), name
        everything.later()
        assert stranger.request(method, asked, **body).status_code == 401, name
    for asked in ("keys/rotate", "admin-keys", "administrators"):
        assert doors["operator"].post(f"{API}/{asked}?dry_run=1", json={}).status_code == 403, asked
