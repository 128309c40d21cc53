"""A signing key that somebody else may have is revoked: over HTTP, on either database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.principal import LOCAL_OPERATOR
from authsec_server.tokens.revocation import revoked
from databases import settings_for

pytestmark = pytest.mark.sqlite_suffices

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
KEYS = "/authsec/api/v1/keys"


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def kids(its: House) -> dict[str, str]:
    """The keys, by state; of each there is one at most here."""
    return {key["state"]: key["kid"] for key in its.door().get(KEYS).json()["items"]}


def published(its: House) -> set[str]:
    return {key["kid"] for key in its.door().get("/.well-known/jwks.json").json()["keys"]}


def signed_by(its: House, agent: Any) -> str:
    """The key that signs a token which is asked for now."""
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    return str(its.events()[-1].event.kid)


def test_the_active_key_is_replaced_in_the_same_change(its: House) -> None:
    agent = its.delegated_agent()
    before = kids(its)
    assert signed_by(its, agent) == before["active"]
    token = its.events()[-1]
    answer = its.door().post(f"{KEYS}/{before['active']}/revoke", json={"reason": "In a backup that was lost"})
    assert answer.status_code == 200, answer.text
    assert answer.json() | {"kid": "", "created_at": ""} == {
        "kid": "",
        "algorithm": "RS256",
        "state": "revoked",
        "created_at": "",
        "activated_at": "2026-11-25T12:00:00Z",
        "retired_at": "2026-11-25T12:00:00Z",
        "publish_until": "2026-11-25T12:00:00Z",
    }
    now = kids(its)
    assert (now["revoked"], now["active"]) == (before["active"], before["prepared"])
    assert published(its) == {now["active"], now["prepared"]}
    assert signed_by(its, agent) == now["active"]

    (entry,) = its.door().get("/authsec/v1/revocations?since=0").json()["entries"]
    assert (entry["kind"], entry["subject"]) == ("key", before["active"])
    ended = its.authority.database.read(lambda tx: revoked(tx, its.events()))
    assert list(ended) == [token.id], "what it signed has ended, and nothing else"
    (event,) = [each.event for each in its.events() if each.event.kind == "key.revoked"]
    assert (event.principal, event.kid, event.subject.id) == (LOCAL_OPERATOR, before["active"], before["active"])
    assert event.detail == {"was": "active", "signs": now["active"], "because": "In a backup that was lost"}


def test_what_it_would_stop_is_said_before(its: House) -> None:
    agents = [its.delegated_agent("One"), its.delegated_agent("Two")]
    for agent in (*agents, agents[0]):
        signed_by(its, agent)
    active, ended = kids(its)["active"], its.events()[-1].event.jti
    its.door().post("/authsec/api/v1/tokens/revoke", json={"jti": ended})
    told = its.door().post(f"{KEYS}/{active}/revoke?dry_run=1").json()["would_stop"]
    assert ([each["name"] for each in told["agents"]], told["live_tokens"]) == (["One", "Two"], 2)
    assert (told["until"], [each["audience"] for each in told["apis"]]) == ("2026-11-25T13:00:00Z", ["authsec-api"])
    assert kids(its)["active"] == active
    assert its.door().post(f"{KEYS}/{'a' * 43}/revoke?dry_run=1").status_code == 404


def test_a_prepared_one_never_signs(its: House) -> None:
    before = kids(its)
    assert its.door().post(f"{KEYS}/{before['prepared']}/revoke").status_code == 200
    now = kids(its)
    assert (now["active"], now["revoked"]) == (before["active"], before["prepared"])
    assert published(its) == {now["active"], now["prepared"]}


def test_a_retired_one_is_published_no_more_and_can_be_revoked_again(its: House) -> None:
    before = kids(its)
    its.door().post(f"{KEYS}/rotate", json={"force": True})
    first = its.door().post(f"{KEYS}/{before['active']}/revoke")
    again = its.door().post(f"{KEYS}/{before['active']}/revoke")
    assert first.json() == again.json()
    assert before["active"] not in published(its)
    assert kids(its)["active"] == before["prepared"]
    entries = its.door().get("/authsec/v1/revocations?since=0").json()["entries"]
    assert [each["subject"] for each in entries] == [before["active"]] * 2, "raw SQL may have marked the row before"


def test_one_that_is_none(its: House) -> None:
    for kid in ("a" * 43, "a", "é"):
        answer = its.door().post(f"{KEYS}/{kid}/revoke")
        assert (answer.status_code, answer.json()["details"]) == (404, "See the list: authsec keys list")
    assert len(published(its)) == 2


def test_strangers_and_operators_may_not(house: Callable[..., House]) -> None:
    at_the_machine, its = house(local_operator=True), house()
    kid = kids(at_the_machine)["active"]
    made = at_the_machine.door().post("/authsec/api/v1/admin-keys", json={"name": "Op", "role": "operator"}).json()
    assert its.door("198.51.100.7").post(f"{KEYS}/{kid}/revoke").status_code == 401
    refused = its.door(Authorization=f"Bearer {made['key']}").post(f"{KEYS}/{kid}/revoke")
    assert (refused.status_code, refused.json()["reason"]) == (403, "not_permitted")
    assert kids(at_the_machine)["active"] == kid
