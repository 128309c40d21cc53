"""One token is ended: by operators, by its jti or pasted, and by whoever holds it (RFC 7009); on either database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.keys.api import metadata
from authsec_server.tokens.revocation import PATH, REVOKE, revoked
from databases import settings_for

pytestmark = pytest.mark.sqlite_suffices

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def token_of(its: House, agent: Any) -> str:
    proof = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def jti_of(its: House) -> str:
    """Of the newest token."""
    return next(str(each.event.jti) for each in reversed(its.events()) if each.event.kind == "token.issued")


def feed(its: House) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = its.door().get("/authsec/v1/revocations?since=0").json()["entries"]
    return entries


def revocations(its: House) -> list[Any]:
    return [each.event for each in its.events() if each.event.kind == "token.revoked"]


def test_an_operator_ends_one_token_and_no_other(its: House) -> None:
    agent = its.delegated_agent()
    token_of(its, agent)
    other = jti_of(its)
    token_of(its, agent)
    jti = jti_of(its)
    its.clock.at += timedelta(minutes=5)
    answer = its.door().post(PATH, json={"jti": jti, "reason": "Seen in a chat"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "jti": jti,
        "client": {"id": agent.client_id, "name": "Customer Support"},
        "expires_at": "2026-11-25T13:00:00Z",
        "ended_at": "2026-11-25T12:05:00Z",
        "already": False,
    }
    (entry,) = feed(its)
    assert (entry["kind"], entry["subject"]) == ("token", jti)
    (event,) = revocations(its)
    assert (event.jti, event.client.id, event.principal.name) == (jti, agent.client_id, "local operator")
    assert event.detail == {"expires_at": "2026-11-25T13:00:00Z", "because": "Seen in a chat"}
    read = its.authority.database.read
    ended = {each.event.jti for each in its.events() if each.id in read(lambda tx: revoked(tx, its.events()))}
    assert ended == {jti}
    assert other != jti


def test_a_second_revocation_is_recorded_and_says_when_the_first_was(its: House) -> None:
    token = token_of(its, its.delegated_agent())
    first = its.door().post(PATH, json={"jti": jti_of(its)}).json()
    its.clock.at += timedelta(minutes=7)
    # As people paste it, and from whichever end: by its jti, whole, and by who holds it.
    again = its.door().post(PATH, json={"token": f" {token[:40]}\n{token[40:]}\n"}).json()
    assert again == first | {"already": True}
    assert its.door().post(REVOKE, data={"token": token}).status_code == 200
    assert len(feed(its)) == len(revocations(its)) == 3


def test_what_cannot_be_ended_is_said_and_nothing_is_written(its: House) -> None:
    token = token_of(its, its.delegated_agent())
    jti = jti_of(its)
    door = its.door()
    for body, status, said in (
        ({"jti": "0" * 32}, 404, "has no token with this jti"),
        ({"jti": "é x"}, 404, "has no token with this jti"),
        ({"token": token[:-4]}, 400, "not from this authority"),
        ({"token": "authsec_" + "a" * 43}, 400, "an admin key or a client secret"),
        ({}, 400, "Give the jti of the token"),
        ({"jti": jti, "token": token}, 400, "Give the jti of the token"),
        ({"jti": jti, "reason": "\u202e"}, 400, "invisible"),
    ):
        answer = door.post(PATH, json=body)
        assert (answer.status_code, said in answer.json()["error"]) == (status, True), (body, answer.text)
        assert token not in answer.text
    its.clock.at += timedelta(hours=1, minutes=5)  # the highest leeway that an API may have
    late = door.post(PATH, json={"jti": jti})
    assert (late.status_code, late.json()["error"]) == (
        409,
        "This token expired at 2026-11-25T13:00:00Z, so there was nothing to revoke.",
    )
    assert feed(its) == revocations(its) == []


def test_a_token_that_some_api_may_still_take_can_be_ended(its: House) -> None:
    """An API whose clock is behind, or that allows for others being so, takes it some minutes longer."""
    agent = its.delegated_agent()
    token, jti = token_of(its, agent), jti_of(its)
    given_up = token_of(its, agent)
    its.clock.at += timedelta(hours=1, minutes=4, seconds=59)
    first = its.door().post(PATH, json={"jti": jti}).json()
    assert (first["already"], first["ended_at"]) == (False, "2026-11-25T13:04:59Z")
    assert its.door().post(REVOKE, data={"token": given_up}).status_code == 200
    assert its.door().post(PATH, json={"jti": jti}).json() == first | {"already": True}
    for again in (token, given_up):
        assert its.door().post(REVOKE, data={"token": again}).status_code == 200
    assert len(feed(its)) == len(revocations(its)) == 4, "each act of an operator, and one of the holder for each token"


def test_what_it_would_stop_is_said_before(its: House) -> None:
    token = token_of(its, its.delegated_agent())
    for asked in ({"jti": jti_of(its)}, {"token": token}):
        told = its.door().post(f"{PATH}?dry_run=1", json=asked).json()["would_stop"]
        assert ([each["name"] for each in told["agents"]], told["live_tokens"]) == (["Customer Support"], 1)
        assert told["until"] == "2026-11-25T13:00:00Z"
    assert its.door().post(f"{PATH}?dry_run=1", json={"jti": "0" * 32}).status_code == 404
    assert feed(its) == []


def test_who_holds_a_token_ends_it(its: House) -> None:
    agent = its.delegated_agent()
    token = token_of(its, agent)
    answer = its.door("198.51.100.7").post(REVOKE, data={"token": f"{token}\n", "token_type_hint": "refresh_token"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    (entry,) = feed(its)
    assert (entry["kind"], entry["subject"]) == ("token", jti_of(its))
    (event,) = revocations(its)
    assert (event.principal, event.address, event.client.id) == (None, "198.51.100.7", agent.client_id)
    document = metadata("https://authority.example.com")
    assert document["revocation_endpoint"] == f"https://authority.example.com{REVOKE}"


def test_what_is_over_in_any_way_is_answered_alike(its: House) -> None:
    agent = its.delegated_agent()
    token = token_of(its, agent)
    its.door().post(f"/authsec/api/v1/clients/{agent.client_id}/disable")
    other = token_of(its, its.delegated_agent("Other"))
    before = len(feed(its))
    for _ in range(3):
        assert its.door().post(REVOKE, data={"token": token}).content == b""
    (event,) = revocations(its)
    assert event.detail["already"], "recorded once: a row that raw SQL has inserted could say that it is revoked"
    its.clock.at += timedelta(hours=2)
    assert its.door().post(REVOKE, data={"token": other}).status_code == 200
    assert (len(feed(its)), len(revocations(its))) == (before + 1, 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": {"token_type_hint": "access_token"}}, 400),
        ({"data": {"token": ""}}, 400),
        ({"data": {"token": ["a", "b"]}}, 400),
        ({"json": {"token": "a"}}, 415),
        ({"params": {"token": "a.b.c"}, "data": {"token_type_hint": "x"}}, 400),
        ({"data": {"token": "a" * 70_000}}, 413),
    ],
)
def test_a_request_that_is_none(house: Any, request_: dict[str, Any], status: int) -> None:
    answer = house().door().post(REVOKE, **request_)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["error"] == "invalid_request"
    assert told["error_description"].endswith(".")
    assert told["request_id"].startswith("req_")


def test_strangers_end_nothing_by_its_jti(house: Any) -> None:
    stranger = house().door("198.51.100.7")
    assert stranger.post(PATH, json={"jti": "0" * 32}).status_code == 401
    assert stranger.get(REVOKE).status_code == 405
