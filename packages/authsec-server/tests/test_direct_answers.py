"""The HTTP protocol answers the usual token request itself: as the application would, under the same limits."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PublicKey, verify_compact
from authsec_server.attestation import service as attestation
from authsec_server.audit.model import EventKind
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.failures import Unavailable
from authsec_server.keys.model import Algorithm
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.tokens import issue
from authsec_server.tokens.facts import FIXED_WEIGHT
from authsec_server.tokens.issue import PendingToken
from long_runs import some_of
from raw_http import ENDPOINT, listening, no_application, request

from .conftest import NOW, House

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


def granted(its: House, client: str) -> None:
    """Let the client get a token once, so that its facts and the signing key are in memory."""
    assert its.door().get(ENDPOINT, params={"client_id": client}).status_code == 200


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    return house()


@pytest.fixture
def its_on_each(house_on_each: Callable[..., House]) -> House:
    return house_on_each()


def test_no_token_of_an_agent_needs_the_application(its_on_each: House) -> None:
    its = its_on_each
    client = its.delegated_name()
    with listening(its, directly=True, app=no_application) as line:
        answers = [line().ask(request(client)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    events = [each.event for each in its.events() if each.event.kind is EventKind.TOKEN_ISSUED]
    assert [(event.request_id, event.address) for event in events] == [
        (answer.request_id, "127.0.0.1") for answer in answers
    ]
    assert {json.loads(answer.body)["token"].count(".") for answer in answers} == {2}


def test_the_first_request_of_a_client_with_very_many_actions_waits_in_a_thread(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of these there are few. Outside of threads, hundreds of such requests would each hold facts of their own."""
    monkeypatch.setattr(issue, "MOST_WAITING", FIXED_WEIGHT + 2)  # two actions of the role, one of the delegation
    client = its.delegated_name()
    with listening(its, directly=True, app=no_application) as line:
        assert line().ask(request(client)).status == 418
        granted(its, client)
        assert line().ask(request(client)).status == 200


def test_a_client_that_comes_for_the_first_time_is_refused_as_ever(its: House) -> None:
    agent = its.delegated_agent()
    spoilt = f"Authorization: Bearer {agent.assertion()[:-6]}AAAAAA"
    first = [
        request("00000000-0000-4000-8000-000000000000"),
        request(agent.client_id),
        request(agent.client_id, spoilt),
        request(its.delegated_name("Other") + "&scope=customers:delete"),
    ]
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        answers = [(direct().ask(each), by_the_application().ask(each)) for each in first]
    assert [one.shape == other.shape for one, other in answers] == [True] * len(first)
    assert [one.status for one, _ in answers] == [404, 401, 401, 403]
    refused = [each.count for each in its.events() if each.event.kind is EventKind.TOKEN_REFUSED]
    assert sum(refused) == 2 * len(first)


def test_a_client_that_comes_for_the_first_time_is_charged_once(house: Callable[..., House]) -> None:
    its = house(address_limit=3)
    unknown = request("00000000-0000-4000-8000-000000000000")
    with listening(its, directly=True) as direct:
        assert [direct().ask(unknown).status for _ in range(5)] == [404, 404, 404, 429, 429]


def test_a_database_that_cannot_be_read_is_told_as_ever(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = its.delegated_name()

    def unavailable(_work: Any) -> Any:
        raise Unavailable("The disk is away.")

    with listening(its, directly=True) as direct:
        with monkeypatch.context() as patched:
            patched.setattr(its.authority.database, "read", unavailable)
            answer = direct().ask(request(client))
        assert direct().ask(request(client)).status == 200
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "unavailable")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_token_has_the_algorithm_of_its_api(house: Callable[..., House], algorithm: Algorithm) -> None:
    its = house(local_operator=True)
    body = {"name": "CRM", "identifier": "crm-api", "signing_algorithm": algorithm}
    assert its.door().post("/authsec/api/v1/apis", json=body).status_code == 201
    client = its.delegated_name(audiences=("crm-api",))
    granted(its, client)
    with listening(its, directly=True, app=no_application) as line:
        answer = line().ask(request(client))
    token = json.loads(answer.body)["token"]
    (key,) = [
        key
        for key in its.door().get("/.well-known/jwks.json").json()["keys"]
        if key["kid"] == its.events()[-1].event.kid
    ]
    assert verify_compact(token, PublicKey.from_jwk(key), algorithms={algorithm}).header["alg"] == algorithm


def test_both_ways_give_the_same_answer(its: House) -> None:
    client = its.delegated_name()
    granted(its, client)
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        assert direct().ask(request(client)).shape == by_the_application().ask(request(client)).shape


@pytest.mark.parametrize(
    "unusual",
    some_of(
        [
            request("{}", method="HEAD"),
            request("{}", "Content-Length: 0", method="POST"),
            request("{}", "Content-Length: 2") + b"ab",
            request("{}", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
            request("{}", "Connection: close"),
            request("{}", version="1.0"),
            request("{}", host=""),
            request("{}", host="elsewhere.example"),
            request("{}", "Host: 127.0.0.1"),
            request("{}", "Authorization: Bearer x", "Authorization: Bearer y"),
            request("{}", "Authorization: Bearer \xe9"),
            request("{}", "Authorization: Basic !"),
            request("{}", "X-Client-Id: other"),
            request("{}", "Connection: Upgrade", "Upgrade: websocket"),
            request("{}", "X-Forwarded-For: 192.0.2.1"),
            request("{}&client_id={}"),
            request("{}&scope=customers:read&scope=customers:read"),
            request("{}&scope=customers:delete"),
            request("{}&scope=" + "customers:read%20" * 30),
            request("{}&resource=https://unknown.example"),
            request("{}%00"),
            request("00000000-0000-4000-8000-000000000000"),
            b"GET " + ENDPOINT.encode() + b"/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET http://127.0.0.1:7468" + ENDPOINT.encode() + b"?client_id={} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET /authsec/uflow/sdk/delegation%2Dtoken?client_id={} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET " + ENDPOINT.encode() + b"?client_id={} HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        ]
    ),
)
def test_whatever_is_unusual_is_answered_as_the_application_answers_it(its: House, unusual: bytes) -> None:
    client = its.delegated_name()
    granted(its, client)
    unusual = unusual.replace(b"{}", client.encode())
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        assert direct().ask(unusual).shape == by_the_application().ask(unusual).shape


def test_a_delegation_that_ends_meanwhile_is_refused_as_ever(its_on_each: House) -> None:
    its = its_on_each
    client = its.delegated_name()
    granted(its, client)
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        line = direct()
        assert line.ask(request(client)).status == 200
        act = Act(
            principal=LOCAL_OPERATOR, now=NOW, request_id="req_000000000000000000change", address="", token_bytes=bytes
        )
        delegation = its.authority.database.read(lambda tx: delegations.of_client(tx, client))[0][0].id
        its.authority.database.change(lambda tx: delegations.disable(tx, act, delegation, TERMS))
        refused = line.ask(request(client))
        assert refused.status == 404
        assert refused.shape == by_the_application().ask(request(client)).shape
        assert line.ask(request(client)).status == 404


@pytest.mark.sqlite_suffices
def test_a_key_that_was_registered_anew_meanwhile_is_accepted_at_once(house_on_each: Callable[..., House]) -> None:
    """Also the assertion that was checked before the change: it is used up once, by the second check."""
    its = house_on_each(local_operator=True)
    agent, door = its.delegated_agent(), its.door()
    proofs = f"/authsec/api/v1/clients/{agent.client_id}/proofs"
    (old,) = door.get(f"/authsec/api/v1/clients/{agent.client_id}").json()["proofs"]
    with listening(its, directly=True) as direct:
        line = direct()
        assert line.ask(request(agent.client_id, f"Authorization: Bearer {agent.assertion()}")).status == 200
        assert door.delete(f"{proofs}/{old['id']}").status_code in {200, 204}
        new = {"platform": "key", "public_key": agent.key.public.to_pem().decode()}
        assert door.post(proofs, json=new).status_code == 201
        assertion = f"Authorization: Bearer {agent.assertion()}"
        answers = [line.ask(request(agent.client_id, assertion)) for _ in range(2)]
    assert [each.status for each in answers] == [200, 401]
    assert b"already used" in answers[1].body


@pytest.mark.sqlite_suffices
def test_the_limits_are_the_same(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(unproved_limit=3, address_limit=8)
    client, other = its.delegated_name(), its.delegated_name("Other")
    granted(its, client)
    granted(its, other)
    with listening(its, directly=True) as direct:
        line = direct()
        assert [line.ask(request(client)).status for _ in range(4)] == [200, 200, 429, 429]
        assert [line.ask(request(other)).status for _ in range(3)] == [200, 200, 429], "of the address"
        refused = line.ask(request(other))
    assert "retry-after" in dict(refused.headers)
    assert json.loads(refused.body)["request_id"] == refused.request_id


@pytest.mark.sqlite_suffices
def test_pipelined_requests_are_answered_in_their_order(its_on_each: House) -> None:
    its = its_on_each
    first, second = its.delegated_name("First"), its.delegated_name("Second")
    granted(its, first)
    granted(its, second)
    with listening(its, directly=True) as direct:
        line = direct()
        line.send(request(first) + request("nobody") + request(second) + request(first))
        answers = [line.read() for _ in range(4)]
    assert [each.status for each in answers] == [200, 400, 200, 200]
    assert [json.loads(answers[at].body)["client_id"] for at in (0, 2, 3)] == [first, second, first]


def test_a_client_that_is_gone_takes_no_place(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    its = house(max_in_flight=1)
    client = its.delegated_name()
    granted(its, client)
    inside, go = threading.Event(), threading.Event()
    record = its.authority.database.record

    def slowly(work: Any) -> Any:
        inside.set()
        go.wait(20)
        return record(work)

    monkeypatch.setattr(its.authority.database, "record", slowly)
    with listening(its, directly=True) as direct:
        gone = direct()
        gone.send(request(client))
        assert inside.wait(20)
        assert direct().ask(request(client)).status == 503, "the only place is taken"
        gone.close()
        go.set()
        line = direct()
        until = time.monotonic() + 20
        while (status := line.ask(request(client)).status) == 503 and time.monotonic() < until:
            time.sleep(0.01)
    assert status == 200
    assert sum(each.event.kind is EventKind.TOKEN_ISSUED for each in its.events()) == 3, (
        "the one of the gone client, too"
    )


def test_a_database_that_fails_is_told_as_ever(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = its.delegated_name()
    granted(its, client)

    def unavailable(_work: Any) -> Any:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(its.authority.database, "record", unavailable)
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        answer = direct().ask(request(client))
        assert answer.shape == by_the_application().ask(request(client)).shape
    assert answer.status == 503


def test_a_server_whose_database_is_found_older_issues_nothing(its: House) -> None:
    """A restored backup lacks revocations, even if the server has the facts of the clients in memory."""
    client = its.delegated_name()
    granted(its, client)
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        line = direct()
        its.authority.comparison.problem = "The database is older than a checkpoint."
        answer = line.ask(request(client))
        assert answer.shape == by_the_application().ask(request(client)).shape
        its.authority.comparison.problem = None
        assert line.ask(request(client)).status == 200
    assert (answer.status, b"authsec admin restored" in answer.body) == (503, True)


def test_an_error_that_nobody_expected_is_a_500_and_the_connection_goes_on(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = its.delegated_name()
    granted(its, client)
    sign = type(its.authority.tokens).sign
    with listening(its, directly=True) as direct:
        line = direct()
        monkeypatch.setattr(type(its.authority.tokens), "sign", lambda *_: 1 / 0)
        assert line.ask(request(client)).status == 500
        monkeypatch.setattr(type(its.authority.tokens), "sign", sign)
        assert line.ask(request(client)).status == 200


def test_the_log_has_one_line_for_each_request(its: House, capsys: pytest.CaptureFixture[str]) -> None:
    client = its.delegated_name()
    granted(its, client)
    with listening(its, directly=True) as direct, listening(its, directly=False) as by_the_application:
        capsys.readouterr()
        asked = [direct().ask(request(client)), by_the_application().ask(request(client))]
        said = [line for line in capsys.readouterr().out.splitlines() if "request" in line]
    assert [answer.request_id in line for answer, line in zip(asked, said, strict=True)] == [True, True]
    assert len({re.sub(r"req_\w+|ms=\S+|^\S+ \S+", "", line) for line in said}) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_a_request_that_goes_to_the_application_counts_once(house: Callable[..., House], ends: bool) -> None:
    """It was begun, and is refused or cannot be answered at once: others must not take its place meanwhile."""
    its = house(max_in_flight=1)
    client, other = its.delegated_name(), its.delegated_name("Other")
    granted(its, client)
    granted(its, other)
    if ends:
        act = Act(
            principal=LOCAL_OPERATOR, now=NOW, request_id="req_000000000000000000change", address="", token_bytes=bytes
        )
        delegation = its.authority.database.read(lambda tx: delegations.of_client(tx, client))[0][0].id
        its.authority.database.change(lambda tx: delegations.disable(tx, act, delegation, TERMS))
    said: list[Any] = []

    async def nothing() -> Any:
        return {"type": "http.disconnect"}

    async def told(message: Any) -> None:
        said.append(message)

    async def both() -> None:
        scope = scope_of(client)
        begun = its.authority.direct.begin(scope)
        assert begun is not None
        await begun
        assert its.authority.direct.begin(scope_of(other)) is None, "the only place is taken"
        await its.authority.app(scope, nothing, told)
        again = its.authority.direct.begin(scope_of(other))
        assert again is not None
        await again

    asyncio.run(both())
    assert said[0]["status"] == (404 if ends else 200)


def scope_of(client: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": ENDPOINT,
        "query_string": f"client_id={client}".encode(),
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "root_path": "",
        "state": {},
    }


def test_a_client_that_is_gone_with_requests_in_a_pipeline_is_no_error(
    its: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = its.delegated_name()
    granted(its, client)
    inside, go = threading.Event(), threading.Event()
    record = its.authority.database.record

    def slowly(work: Any) -> Any:
        inside.set()
        go.wait(20)
        return record(work)

    monkeypatch.setattr(its.authority.database, "record", slowly)
    with listening(its, directly=True) as direct:
        gone = direct()
        gone.send(request(client) * 3)
        assert inside.wait(20)
        gone.close()
        time.sleep(0.2)  # until the server knows
        go.set()
        assert direct().ask(request(client)).status == 200
    assert "Exception in callback" not in caplog.text


def test_a_log_that_fails_keeps_no_answer(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = its.delegated_name()
    granted(its, client)

    def fail(*_: Any) -> None:
        raise ValueError("I/O operation on closed file")

    with listening(its, directly=True) as direct:
        monkeypatch.setattr(type(its.authority.direct), "answered", fail)
        assert [direct().ask(request(client)).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("ended", some_of(["granted", "refused", "without a proof", "unknown"], each=4))
def test_an_idle_connection_keeps_nothing_of_its_request(its: House, ended: str) -> None:
    """Facts in memory are bounded: connections must not keep others, however many there are."""
    client = its.delegated_name()
    granted(its, client)
    asked, status = {
        "granted": (client, 200),
        "refused": (client + "&resource=https://unknown.example", 400),
        "without a proof": (its.delegated_agent().client_id, 401),
        "unknown": ("00000000-0000-4000-8000-000000000000", 404),
    }[ended]
    with listening(its, directly=True) as direct:
        line = direct()
        assert line.ask(request(asked)).status == status
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is PendingToken] == []  # isinstance asks proxies
        assert line.ask(request(client)).status == 200


def test_a_bad_proof_is_checked_twice_at_most(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the facts in memory, and once with those in the database, which alone may refuse."""
    agent = its.delegated_agent()
    door = its.door(Authorization=f"Bearer {agent.assertion()}")
    assert door.get(ENDPOINT, params={"client_id": agent.client_id}).status_code == 200
    bad = request(agent.client_id, f"Authorization: Bearer {agent.assertion()[:-6]}AAAAAA")
    checked: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        check: Callable[..., Any] = getattr(attestation, name)

        def counted(*args: Any, **named: Any) -> Any:
            checked.append(name)
            return check(*args, **named)

        return counted

    for name in ("attest_at_once", "attest"):
        monkeypatch.setattr(attestation, name, counting(name))
    with listening(its, directly=True) as direct:
        assert direct().ask(bad).status == 401
    assert checked == ["attest_at_once", "attest"]


@pytest.mark.soak  # it measures memory
def test_what_strangers_ask_for_takes_little_memory(its: House) -> None:
    """Paths and queries that stay in memory are short, and few."""
    with listening(its, directly=True) as direct:
        line = direct()
        line.ask(request("x"))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(48):
                path = f"/{number}%F0%9F%98%80{'a' * 60_000}"
                assert line.ask(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()).status == 404
                actions = "+".join(f"a{number}:{chr(97 + at)}" for at in range(26))
                line.ask(request(f"00000000-0000-4000-8000-000000000000&scope={actions}"))
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert kept < 2_000_000
