"""The line of each request: the client and the reason where they are known, and one line an outage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from authsec_server.failures import Fault, Unavailable
from authsec_server.web.outages import MOST, OTHERS, Outages
from raw_http import ENDPOINT, listening, request

from .conftest import House

UNKNOWN = "00000000-0000-4000-8000-000000000000"
STRANGER = "x-secret-of-a-stranger"


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def requests_in(lines: list[Any]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("directly", [True, False])
def test_a_line_has_the_client_once_it_is_known_and_the_reason_of_the_refusal(
    house: Callable[..., House], lines: list[Any], directly: bool
) -> None:
    its = house()
    agent, client = its.delegated_agent("Proved"), its.delegated_name()
    with listening(its, directly=directly) as server:
        line = server()
        answers = [
            line.ask(request(client)),
            line.ask(request(agent.client_id)),
            line.ask(request(agent.client_id, "Authorization: Bearer x.y.z")),
            line.ask(request(client + "&scope=customers:delete")),
            line.ask(request(UNKNOWN)),
            line.ask(request(STRANGER)),
        ]
    said = requests_in(lines)
    assert [each["request_id"] for each in said] == [answer.request_id for answer in answers]
    assert {each["route"] for each in said} == {ENDPOINT}
    assert all("path" not in each for each in said)
    assert [(each["status"], each.get("client_id"), each.get("reason"), each["log_level"]) for each in said] == [
        (200, client, None, "info"),
        (401, agent.client_id, "attestation_required", "warning"),
        (401, agent.client_id, "attestation_invalid", "warning"),
        (403, client, "action_not_allowed", "warning"),
        (404, None, "client_not_found", "warning"),
        (400, None, "client_id_invalid", "warning"),
    ]
    assert STRANGER not in str(lines)


def test_the_log_has_the_reason_that_the_oauth_endpoint_does_not_show(
    house: Callable[..., House], lines: list[Any]
) -> None:
    its = house()
    client = its.delegated_name()
    door = its.door()
    for name in (client, "nobody", UNKNOWN):
        form = {"grant_type": "client_credentials", "client_id": name, "client_secret": STRANGER}
        assert door.post("/oauth/token", data=form).json()["reason"] == "attestation_invalid"
    said = [(each["route"], each.get("client_id"), each["reason"]) for each in requests_in(lines)]
    assert said == [
        ("/oauth/token", client, "attestation_invalid"),
        ("/oauth/token", None, "client_not_found"),
        ("/oauth/token", None, "client_not_found"),
    ]
    assert STRANGER not in str(lines)


def test_an_address_over_its_limit_has_no_client_in_its_line(house: Callable[..., House], lines: list[Any]) -> None:
    its = house(address_limit=1)
    client = its.delegated_name()
    for _ in range(2):
        its.door().get(ENDPOINT, params={"client_id": client})
    assert [(each.get("client_id"), each.get("reason")) for each in requests_in(lines)] == [
        (client, None),
        (None, "rate_limited"),
    ]


@pytest.mark.parametrize(("share", "written"), [(0.0, 0), (0.25, 2), (1.0, 8)])
def test_granted_requests_are_sampled_and_refusals_never(
    house: Callable[..., House], lines: list[Any], share: float, written: int
) -> None:
    its = house(log_granted=share)
    client = its.delegated_name()
    with listening(its, directly=True) as direct:
        line = direct()
        for _ in range(4):
            assert line.ask(request(client)).status == 200
            assert its.door().get(ENDPOINT, params={"client_id": client}).status_code == 200
            assert line.ask(request(UNKNOWN)).status == 404
    assert [each["status"] for each in requests_in(lines)].count(200) == written
    assert [each["status"] for each in requests_in(lines)].count(404) == 4


@pytest.mark.parametrize("directly", [True, False])
def test_an_outage_has_one_line_and_not_one_for_each_request(
    house: Callable[..., House], lines: list[Any], monkeypatch: pytest.MonkeyPatch, directly: bool
) -> None:
    its = house()
    client = its.delegated_name()

    def unavailable(*_: Any) -> Any:
        raise Unavailable("The disk is full.", fault=Fault.FULL)

    monkeypatch.setattr(its.authority.database, "read", unavailable)
    with listening(its, directly=directly) as server:
        line = server()
        answers = [line.ask(request(client)) for _ in range(5)]
    assert {answer.status for answer in answers} == {503}
    shown = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["event"], line["request_id"]) for line in shown] == [
        ("unavailable", answers[0].request_id),
        ("request", answers[0].request_id),
    ]
    assert (shown[0]["message"], shown[1]["outage"]) == ("The disk is full.", "disk_full")
    assert [line["request_id"] for line in requests_in(lines)] == [answer.request_id for answer in answers], "for debug"


def test_an_overload_is_an_outage_too(house: Callable[..., House], lines: list[Any]) -> None:
    its = house(max_in_flight=1)
    its.authority.direct._limit.acquire()  # type: ignore[union-attr] # a request that never ends
    for _ in range(3):
        assert its.door().get("/.well-known/nothing").status_code == 503
    shown = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["event"], line["outage"]) for line in shown] == [("request", "overloaded")]


def test_an_outage_is_told_once_a_minute_and_at_its_end(lines: list[Any]) -> None:
    clock = Clock()
    outages = Outages(clock)
    assert outages.add("disk_full")
    for second in range(1, 131):
        clock.seconds = 1000.0 + second
        assert not outages.add("disk_full")
        outages.look()
    for second in range(131, 200):
        clock.seconds = 1000.0 + second
        outages.look()
    assert [(each["event"], each["outage"], each["requests"], each["seconds"]) for each in lines] == [
        ("the outage continues", "disk_full", 61, 60.0),
        ("the outage continues", "disk_full", 121, 120.0),
        ("the outage has ended", "disk_full", 131, 130.0),
    ]
    assert [each.get("new_requests") for each in lines] == [60, 60, None]
    assert outages.add("disk_full"), "the next one is another outage"


def test_a_database_that_fails_now_and_then_is_one_outage(lines: list[Any]) -> None:
    clock = Clock()
    outages = Outages(clock)
    assert [outages.add("database_busy"), outages.add("database_busy")] == [True, False]
    clock.seconds += 8
    outages.look()
    assert (outages.add("database_busy"), lines) == (False, [])


def test_the_number_of_outages_at_the_same_time_is_bounded(lines: list[Any]) -> None:
    clock = Clock()
    outages = Outages(clock)
    told = [outages.add(f"issuer {number} is silent") for number in range(MOST + 50)]
    assert told.count(True) == MOST + 1
    clock.seconds += 60
    outages.look()
    assert {each["outage"]: each["requests"] for each in lines}[OTHERS] == 50
