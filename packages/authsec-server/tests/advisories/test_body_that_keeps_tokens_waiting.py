"""Attack: a body that takes the server longer to read than to receive, so that no agent gets a token meanwhile.

Two megabytes of numbers where texts belong took thirteen seconds: each that does not fit was written down before the
first was told. At the address for machines nobody even has to be known.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from authsec_server.configuration.api import MAX_DOCUMENT, Compared
from authsec_server.failures import Unavailable
from authsec_server.web import bodies as web
from authsec_server.web.bodies import BYTES_OF_A_VALUE, MAX_BODY, MOST_MISFITS, OF_ONE, LargeBodies, parsed
from starlette.requests import Request

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
ENROL = "/authsec/v1/enrolments"
COMPARE = "/authsec/api/v1/configuration/compare"
NOTHING = b'{"configuration": {"roles": {}}}'
LARGE = NOTHING.ljust(MAX_BODY + 1)
UNKNOWN = json.dumps({str(number): 1 for number in range(MOST_MISFITS + 1)})
DENSE = "[" + ",".join("1" * (MAX_BODY // 2 - 1)) + "]"


class Slow:
    """Parses a large body when it is let, and knows how many at once."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Event(), threading.Event()
        self.at_once = self.most = 0

    def __call__(self, data: bytes, shape: Any) -> Any:
        if len(data) <= MAX_BODY:
            return parsed(data, shape)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.begun.set()
        assert self.let.wait(5), "whoever lets it came behind it"
        self.at_once -= 1
        return parsed(data, shape)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """In place of what parses large bodies."""
    fake = Slow()
    monkeypatch.setattr(web, "parsed", fake)
    return fake


def test_a_token_is_issued_while_a_large_body_is_parsed(house: Callable[..., House], slow: Slow) -> None:
    its = house(local_operator=True)
    agent = its.delegated_name()
    with ThreadPoolExecutor() as pool:
        comparing = pool.submit(its.door().post, COMPARE, content=LARGE)
        assert slow.begun.wait(5)
        token = its.door().get(ENDPOINT, params={"client_id": agent})
        assert (token.status_code, comparing.done()) == (200, False)
        slow.let.set()
        assert comparing.result().status_code == 200


def test_of_many_large_bodies_one_is_parsed_and_few_are_held(slow: Slow) -> None:
    bodies = LargeBodies()

    async def read(whose: str, content: bytes = LARGE) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content}

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        await bodies.read(request, Compared, at_most=MAX_DOCUMENT, whose=whose)

    async def flood() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(OF_ONE):
                group.start_soon(read, "one")
            await anyio.wait_all_tasks_blocked()
            for _ in range(20):
                with pytest.raises(Unavailable):
                    await read("one")
            await read("another", NOTHING)
            group.start_soon(read, "another")
            await anyio.wait_all_tasks_blocked()
            slow.let.set()
        await read("one")

    anyio.run(flood)
    assert slow.most == 1


@pytest.mark.parametrize("path", [ENROL, COMPARE])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (UNKNOWN, "values in the body are not valid."),
        (DENSE, "too many values"),
    ],
    ids=["misfits", "values"],
)
def test_what_does_not_fit_is_not_written_down_without_end(
    house: Callable[..., House], path: str, body: str, said: str
) -> None:
    answer = house(local_operator=True).door().post(path, content=body)
    told = answer.json()
    assert (answer.status_code, told["field"], said in told["error"]) == (400, "body", True), told


def test_a_long_body_may_have_more_values_than_a_short_one(house: Callable[..., House]) -> None:
    agents = {f"agent-{number}": {"proofs": [{"platform": "unattested"}]} for number in range(4000)}
    body = json.dumps({"configuration": {"agents": agents}}, separators=(",", ":"))
    assert MAX_BODY < len(body) < MAX_DOCUMENT
    assert len(body) / body.count(",") > BYTES_OF_A_VALUE
    answer = house(local_operator=True).door().post(COMPARE, content=body)
    assert "The number is limited" in answer.json()["error"], "it was read, and is too much to be done"
    roles = {f"role-{number}": {"actions": [f"ai:do{each}" for each in range(200)]} for number in range(60)}
    body = json.dumps({"configuration": {"roles": roles}}, separators=(",", ":"))
    assert len(body) > MAX_BODY, "the shortest names that there may be"
    assert house(local_operator=True).door().post(COMPARE, content=body).status_code == 200
