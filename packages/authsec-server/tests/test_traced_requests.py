"""Which token requests are traced: those of a caller that records, and only so many a second."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from authsec.traces import Parent
from authsec_server.app import opentelemetry
from authsec_server.failures import StartupRefused
from authsec_server.web.request_context import RequestContext, put_context
from authsec_server.web.traces import MOST_A_SECOND, StepTimes, Traced
from raw_http import ENDPOINT, listening, request

from .conftest import House

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SENT = f"traceparent: {HEADER}"


class Recorded:
    def __init__(self) -> None:
        self.spans: list[tuple[Parent, Mapping[str, Any], list[str]]] = []

    def record(
        self, parent: Parent, _name: str, _began: int, steps: StepTimes, attributes: Mapping[str, str | int]
    ) -> None:
        self.spans.append((parent, attributes, [*steps.steps]))

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    its = Recorded()
    monkeypatch.setattr("authsec_server.app.lifecycle.recorder", lambda: its)
    return its


def test_both_token_endpoints_record_the_steps_of_a_caller_that_records(
    house: Callable[..., House], recorded: Recorded
) -> None:
    its = house(traces=True)
    agent = its.delegated_agent()
    proof = f"Authorization: Bearer {agent.assertion()}"
    with listening(its, directly=True) as server:
        answers = [server().ask(request(agent.client_id, proof, SENT)), server().ask(request(agent.client_id, SENT))]
        assert server().ask(request(agent.client_id, SENT[:-1] + "0")).status == 401
    form = {"grant_type": "client_credentials", "client_id": agent.client_id, "client_secret": "x"}
    its.door().post("/oauth/token", data=form, headers={"traceparent": HEADER})
    its.door().get("/.well-known/jwks.json", headers={"traceparent": HEADER})
    assert [answer.status for answer in answers] == [200, 401]
    assert [(found["http.route"], found["http.response.status_code"]) for _, found, _ in recorded.spans] == [
        (ENDPOINT, 200),
        (ENDPOINT, 401),
        ("/oauth/token", 401),
    ]
    assert {parent for parent, _, _ in recorded.spans} == {
        Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    }
    assert [steps for *_, steps in recorded.spans] == [["record", "decide", "sign"], [], []]
    assert {found["authsec.client_id"] for _, found, _ in recorded.spans} == {agent.client_id}


def test_a_server_that_exports_no_traces_answers_such_a_request_as_any_other(
    house: Callable[..., House], recorded: Recorded
) -> None:
    its = house()
    client = its.delegated_name()
    assert its.door().get(ENDPOINT, params={"client_id": client}, headers={"traceparent": HEADER}).status_code == 200
    assert recorded.spans == []


def test_a_process_records_only_so_many_requests_a_second(recorded: Recorded) -> None:
    """Strangers may send the header, and whoever pays for spans would pay for theirs."""
    seconds = 5.0

    async def answered(_scope: Any, _receive: Any, _send: Any) -> None:
        """Answer nothing."""

    app = Traced(answered, recorder=recorded, paths=["/"], monotonic=lambda: seconds)

    async def flood() -> None:
        for _ in range(MOST_A_SECOND + 50):
            scope = {"type": "http", "path": "/", "headers": [(b"traceparent", HEADER.encode())]}
            put_context(scope, RequestContext(request_id="req_1", address=""))
            await app(scope, answered, answered)  # type: ignore[arg-type] # neither is called

    asyncio.run(flood())
    assert len(recorded.spans) == MOST_A_SECOND
    seconds = 6.0
    asyncio.run(flood())
    assert len(recorded.spans) == 2 * MOST_A_SECOND


def test_without_the_extra_a_server_with_traces_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartupRefused, match="needs OpenTelemetry") as refused:
        opentelemetry.recorder()
    assert "authsec-server[otel]" in refused.value.remedy
