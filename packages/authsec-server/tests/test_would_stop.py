"""What an ending would stop: asked over HTTP with nothing changed, and said in the same words on every page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.console import impact_text
from authsec_server.revocations import subscribers as followers
from databases import settings_for
from pages import get
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1/"
TOKENS = "/authsec/uflow/sdk/delegation-token"
CRM, BILLING, CHAT = "https://crm.example", "billing", "chat"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


@pytest.fixture
def door(its: House) -> TestClient:
    client: TestClient = its.door()
    return client


@pytest.fixture
def agent(its: House, door: TestClient) -> str:
    """An agent with a token for each of three APIs: one is proved to follow, one says so, one was never seen."""
    for name, identifier in (("CRM", CRM), ("Billing", BILLING), ("Chat", CHAT)):
        assert door.post(f"{API}apis", json={"name": name, "identifier": identifier}).status_code == 201
    client: str = its.delegated_name("Helper", audiences=(CRM, BILLING, CHAT))
    for audience in (CRM, BILLING, CHAT):
        assert door.get(TOKENS, params={"client_id": client, "resource": audience}).status_code == 200
    follow(its, {CRM: True, CHAT: False})
    return client


def follow(its: House, proved: dict[str, bool]) -> None:
    its.authority.database.append(lambda tx: followers.note(tx, proved, its.clock.at))


def asked(door: TestClient, path: str) -> Any:
    """What would stop. Nothing has changed by asking."""
    feed = "/authsec/v1/revocations?since=0"
    before = (door.get(f"{API}events").json(), door.get(feed).json()["last"])
    answer = door.post(f"{API}{path}?dry_run=1")
    assert answer.status_code == 200, answer.text
    assert (door.get(f"{API}events").json(), door.get(feed).json()["last"]) == before
    return answer.json()["would_stop"]


def test_what_disabling_an_agent_would_stop(its: House, door: TestClient, agent: str) -> None:
    stops = asked(door, f"clients/{agent}/disable")
    (delegation,) = stops.pop("delegations")
    until = "2026-11-25T13:00:00Z"
    seen = {"seen_at": "2026-11-25T12:00:00Z", "until": until}
    assert stops == {
        "agents": [{"client_id": agent, "name": "Helper", "goes_on": False}],
        "live_tokens": 3,
        "until": until,
        "apis": [
            {"audience": BILLING, "name": "Billing", "api": "billing", "following": False, "proved": False}
            | {"seen_at": None, "until": until},
            {"audience": CHAT, "name": "Chat", "api": "chat", "following": True, "proved": False} | seen,
            {"audience": CRM, "name": "CRM", "api": "crm", "following": True, "proved": True} | seen,
        ],
        "more": False,
        "as_of": "2026-11-25T12:00:00Z",
    }
    for verb in ("disable", "revoke"):
        assert asked(door, f"delegations/{delegation['id']}/{verb}")["live_tokens"] == 3
    assert door.post(f"{API}clients/{agent}/disable").status_code == 200
    assert asked(door, f"clients/{agent}/disable") is None, "it is disabled already"
    after = asked(door, f"delegations/{delegation['id']}/revoke")
    assert (after["live_tokens"], after["until"]) == (0, until), "they have ended, and are out"
    its.clock.at += timedelta(minutes=2, seconds=1)
    assert not any(each["following"] for each in asked(door, f"delegations/{delegation['id']}/revoke")["apis"])


def test_what_is_no_clear_wish_for_a_dry_run_is_not_done(its: House, door: TestClient, agent: str) -> None:
    for query, path in (
        ("dry_run=true", f"clients/{agent}/disable"),
        ("dry_run=", f"clients/{agent}/disable"),
        ("dry_run=0&dry_run=1", f"clients/{agent}/disable"),
    ):
        answer = door.post(f"{API}{path}?{query}", json={})
        assert (answer.status_code, answer.json()["field"]) == (400, "dry_run"), path
    assert door.get(f"{API}clients/{agent}").json()["enabled"]
    assert door.post(f"{API}clients/nobody/disable?dry_run=1").status_code == 404
    assert its.door().get(f"{API}clients?dry_run=1").status_code == 200, "to read changes nothing anyway"


def test_nobody_asks_without_an_admin_key(house: Callable[..., House]) -> None:
    answer = house().door().post(f"{API}clients/anybody/disable?dry_run=1")
    assert (answer.status_code, answer.json()["reason"]) == (401, "not_authenticated")


def test_the_pages_say_who_learns_of_it_and_who_does_not(its: House, door: TestClient, agent: str) -> None:
    ending = get(door, f"/console/clients/{agent}/disable").text
    for page in (ending, get(door, f"/console/clients/disable?client={agent}").text):
        assert "3 live tokens are revoked." in page
        assert (
            "Billing does not follow the revocation feed (never seen): "
            "this API may accept these tokens until 13:00 UTC." in page
        )
        assert "1 API says that it follows the revocation feed: Chat. AuthSec cannot verify this." in page
        assert "1 API follows the revocation feed with its credential and refuses revoked tokens" in page
    listed = get(door, "/console/apis").text
    assert "Billing billing API billing 0 Does not follow never seen" in listed
    assert "CRM crm API https://crm.example 0 Follows seen just now" in listed
    known = {each["slug"]: each["revocations"] for each in door.get(f"{API}apis").json()["items"]}
    assert known["billing"] == {"following": False, "proved": False, "seen_at": None}
    assert known["chat"] == {"following": True, "proved": False, "seen_at": "2026-11-25T12:00:00Z"}
    assert door.get(f"{API}apis/crm").json()["revocations"] == {**known["chat"], "proved": True}
    its.clock.at += timedelta(seconds=20)
    assert "Says it follows seen 20 seconds ago" in get(door, "/console/apis/chat").text
    its.clock.at += timedelta(minutes=2)
    assert "Does not follow seen 2 minutes ago" in get(door, "/console/apis/chat").text


def an_api(
    name: str, *, following: bool = False, proved: bool = False, until: str | None = "2026-11-25T14:04:30Z"
) -> Any:
    return {"name": name, "api": name, "following": following, "proved": proved, "until": until, "seen_at": None}


def said(**changed: Any) -> str:
    stops: dict[str, Any] = {
        "agents": [{"name": name, "goes_on": False} for name in ("A", "B", "C")],
        "live_tokens": 17,
        "until": "2026-11-25T14:04:30Z",
        "apis": [],
        "more": False,
        "as_of": "2026-11-25T12:00:00Z",
    }
    return impact_text.summary(stops | changed)


ENDS = [{"name": "B", "goes_on": False}]
ON = [{"name": "A", "goes_on": True}, {"name": "C", "goes_on": True}]
NONE: dict[str, Any] = {"live_tokens": 0, "until": None}
ENDED_BEFORE = {"live_tokens": 0, "until": "2026-11-26T00:30:00Z"}
ONE = {"live_tokens": 1}
FOLLOWS, SAYS = an_api("Desk", following=True, proved=True), an_api("Chat", following=True)
TAKES, TAKES_NONE = an_api("Billing"), an_api("CRM", until=None)
SHARED = an_api("authsec-api") | {"api": None}
REVOKED = "no live token (the last revoked token expires at 2026-11-26 00:30 UTC)"
NO_API = (
    "no API has ever followed the revocation feed for the audience authsec-api "
    "(an API with this audience may accept these tokens until 14:05 UTC)"
)
NOT = "1 API does not follow the revocation feed (Billing: may accept these tokens until 14:05 UTC)"


@pytest.mark.parametrize(
    ("agents", "tokens", "apis", "sentence"),
    [
        ([], NONE, [], "nothing"),
        ([], NONE, [TAKES_NONE, FOLLOWS], "nothing"),
        (ON[:1], NONE, [TAKES_NONE], "nothing: there is no live token, and 1 agent keeps working (A)"),
        (ON, NONE, [FOLLOWS, SAYS], "nothing: there is no live token, and 2 agents keep working (A, C)"),
        (ENDS, NONE, [TAKES_NONE, FOLLOWS], "1 agent (B), no live token"),
        (ENDS + ON, NONE, [TAKES_NONE], "1 agent (B), no live token; 2 agents keep working (A, C)"),
        ([], ENDED_BEFORE, [], f"nothing: there is {REVOKED}"),
        (ON, ENDED_BEFORE, [], f"nothing: there is {REVOKED}, and 2 agents keep working (A, C)"),
        (ON, ENDED_BEFORE, [TAKES], f"nothing: there is {REVOKED}, and 2 agents keep working (A, C); {NOT}"),
        (ENDS + ON, ENDED_BEFORE, [TAKES], f"1 agent (B), {REVOKED}, {NOT}; 2 agents keep working (A, C)"),
        ([], NONE | {"more": True}, [], "nothing: there is no live token among those examined"),
        (ENDS, ENDED_BEFORE, [FOLLOWS], "1 agent (B), no live token (the last revoked token expires at "
         "2026-11-26 00:30 UTC), 1 API follows the revocation feed (Desk)"),
        ([], ONE, [TAKES], f"no agent, 1 live token until 14:05 UTC, {NOT}"),
        (ON[:1], ONE, [], "tokens of 1 agent that keeps working (A), 1 live token until 14:05 UTC"),
        (ENDS, ONE, [FOLLOWS], "1 agent (B), 1 live token until 14:05 UTC, 1 API follows the revocation feed (Desk)"),
        (ENDS, ONE, [SAYS], "1 agent (B), 1 live token until 14:05 UTC, 1 API says that it follows the revocation feed "
         "(Chat)"),
        (ENDS, ONE, [TAKES, TAKES_NONE], f"1 agent (B), 1 live token until 14:05 UTC, {NOT}"),
        (ENDS, ONE, [TAKES_NONE], "1 agent (B), 1 live token until 14:05 UTC"),
        (ENDS + ON, {}, [TAKES, FOLLOWS], "1 agent (B), tokens of 2 agents that keep working (A, C), 17 live tokens "
         f"until 14:05 UTC, 1 API follows the revocation feed (Desk), {NOT.replace('the revocation feed', 'it')}"),
        (ENDS, ONE, [TAKES, SHARED], f"1 agent (B), 1 live token until 14:05 UTC, {NOT}, {NO_API}"),
        (ENDS, ONE, [SHARED | {"seen_at": "2026-11-25T11:00:00Z"}], "1 agent (B), 1 live token until 14:05 UTC, "
         f"{NO_API.replace('has ever followed', 'follows').replace('authsec-api', 'authsec-api now')}"),
        (ENDS, {"more": True}, [], "1 agent (B), at least 17 live tokens until 14:05 UTC"),
    ],
)  # fmt: skip
def test_all_of_it_in_one_line(agents: Any, tokens: Any, apis: Any, sentence: str) -> None:
    assert said(agents=agents, apis=apis, **tokens) == sentence


def test_of_many_apis_some_are_named() -> None:
    many = said(apis=[an_api(f"api {number}") for number in range(7)])
    assert "7 APIs do not follow the revocation feed (api 0" in many
    assert many.endswith("api 4: may accept these tokens until 14:05 UTC; and 2 more)")
