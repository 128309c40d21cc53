"""A laptop with the database and the master key is stolen. The thief has the active key and the prepared key.

A plain rotation would let the prepared key sign next. With `now`, a key that the thief cannot have signs at once, and
the prepared key is revoked. It has signed nothing, so no token ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec.jose import parse_compact
from databases import settings_for

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
KEYS = "/authsec/api/v1/keys"


@pytest.fixture
def servers(house: Callable[..., House], database_url: str, tmp_path: Path) -> tuple[House, House]:
    """Two servers of one database. The operator uses the first one."""
    settings = settings_for(database_url, tmp_path)
    return house(local_operator=True, **settings), house(address_limit=10_000, client_limit=10_000, **settings)


def kids(its: House) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in its.door().get(KEYS).json()["items"]:
        found.setdefault(key["state"], []).append(key["kid"])
    return found


def token(its: House, agent: Any) -> str:
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    value: str = answer.json()["token"]
    return value


def kid_of(value: str) -> str:
    kid: str = parse_compact(value).header["kid"]
    return kid


def published(its: House) -> set[str]:
    return {key["kid"] for key in its.door().get("/.well-known/jwks.json").json()["keys"]}


@pytest.mark.sqlite_suffices
def test_no_key_of_the_thief_signs_or_is_prepared(servers: tuple[House, House]) -> None:
    told, other = servers
    agent = other.delegated_agent()
    before = kids(told)
    (active,), (prepared,) = before["active"], before["prepared"]
    assert kid_of(token(other, agent)) == active
    rotated = told.door().post(KEYS + "/rotate", json={"now": True})
    assert rotated.status_code == 200, rotated.text
    new = rotated.json()["kid"]
    assert new not in {active, prepared}
    after = kids(told)
    assert (after["active"], after["retired"], after["revoked"]) == ([new], [active], [prepared])
    assert set(after["prepared"]).isdisjoint({active, prepared})
    for its in servers:
        assert kid_of(token(its, agent)) == new
        assert published(its) == {new, active, *after["prepared"]}
    entries = told.door().get("/authsec/v1/revocations?since=0").json()["entries"]
    assert [(entry["kind"], entry["subject"]) for entry in entries] == [("key", prepared)]
    recorded = [each.event for each in told.events() if each.event.kind in {"key.rotated", "key.revoked"}]
    assert [(event.kind, event.kid) for event in recorded] == [("key.rotated", new), ("key.revoked", prepared)]


@pytest.mark.sqlite_suffices
def test_the_dry_run_says_that_no_token_ends(servers: tuple[House, House]) -> None:
    told, other = servers
    agent, before = other.delegated_agent(), kids(told)
    token(other, agent)
    planned = told.door().post(KEYS + "/rotate?dry_run=1", json={"now": True}).json()
    assert [event["kind"] for event in planned["would_change"]] == [
        "key.created",
        "key.rotated",
        "key.created",
        "key.revoked",
    ]
    assert planned["would_stop"] is None
    assert kids(told) == before


@pytest.mark.sqlite_suffices
@pytest.mark.soak  # a simple rotation is in every run
def test_a_second_time_at_once(servers: tuple[House, House]) -> None:
    told, other = servers
    agent = other.delegated_agent()
    signed = [told.door().post(KEYS + "/rotate", json={"now": True}).json()["kid"] for _ in range(3)]
    assert len({*signed}) == 3
    assert kid_of(token(other, agent)) == signed[-1]
    assert {*signed} <= published(other), "tokens of each of them are valid"


@pytest.mark.postgresql_suffices
def test_each_server_signs_with_it_when_the_answer_is_there(servers: tuple[House, House]) -> None:
    """Under load: no token that was asked for after the answer has an earlier key."""
    told, other = servers
    agent, operator = other.delegated_agent(), told.door()
    stop, rotations, signed = threading.Event(), [0], list[tuple[int, str]]()

    def ask() -> None:
        door = other.door()
        while not stop.is_set():
            then = rotations[0]
            proof = {"Authorization": f"Bearer {agent.assertion()}"}
            answer = door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
            assert answer.status_code == 200, answer.text
            signed.append((then, kid_of(answer.json()["token"])))

    asking = threading.Thread(target=ask)
    asking.start()
    order = [kids(told)["active"][0]]
    try:
        for _ in range(3):
            enough = len(signed) + 5
            while len(signed) < enough:
                assert asking.is_alive()
                stop.wait(0.001)
            order.append(operator.post(KEYS + "/rotate", json={"now": True}).json()["kid"])
            rotations[0] += 1
    finally:
        stop.set()
        asking.join()
    assert len({kid for _, kid in signed}) >= 3
    assert all(order.index(kid) >= then for then, kid in signed)
