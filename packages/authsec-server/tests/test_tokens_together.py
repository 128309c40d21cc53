"""Requests that wait for the same lock are decided and recorded together, on facts that may have been kept before.

Each is decided as if it had come alone, on the authority of that moment.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from attesting import HELPER
from authsec_server.audit import service as audit
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.keys.model import Algorithm
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.tokens import recording
from authsec_server.tokens.decision import Facts
from authsec_server.tokens.facts import (
    FIXED_WEIGHT,
    MOST_RESOURCES,
    KeptFacts,
    RecentFacts,
    load_all_facts,
    load_facts,
)
from authsec_server.tokens.issue import Issued
from authsec_server.tokens.request import TokenRequest
from long_runs import some_of
from raw_http import listening, request
from sqlalchemy.exc import IntegrityError
from trusted_issuers import agent, trust
from workload_evidence import kubernetes

from .conftest import NOW, House
from .test_decision import authority
from .test_decision import client as client_of

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
MANY = 6


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    return house_on_each(unproved_limit=MANY)


def asked(its: House, client_id: str, proof: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {proof}"} if proof else {}
    answer = its.door().get(ENDPOINT, params={"client_id": client_id}, headers=headers)
    return answer.status_code, answer.json().get("reason", "")


def act() -> Act:
    return Act(
        principal=LOCAL_OPERATOR, now=NOW, request_id="req_000000000000000000change", address="", token_bytes=bytes
    )


def tokens_of(its: House) -> list[str]:
    return [each.event.jti for each in its.events() if each.event.kind == "token.issued"]


def test_requests_over_a_limit_at_two_servers_do_not_wait_for_each_other(
    house: Callable[..., House], tmp_path: Path, postgres_url: str
) -> None:
    """Both count refusals of the same clients: each in the order of the rows, not in the order in which they came."""
    (tmp_path / "key").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    (tmp_path / "key").chmod(0o600)
    opened = [house(database=postgres_url, master_key_file=tmp_path / "key", unproved_limit=1) for _ in range(2)]
    clients_ = [opened[0].delegated_name(f"Agent {number}") for number in range(6)]
    barrier = threading.Barrier(12)

    def ask(number: int) -> set[tuple[int, str]]:
        its, order = opened[number % 2], clients_ if number % 2 else clients_[::-1]
        barrier.wait(20)
        return {asked(its, client) for _ in range(2) for client in order}

    with ThreadPoolExecutor(12) as threads:
        said = set().union(*threads.map(ask, range(12)))
    assert said == {(200, ""), (429, "rate_limited")}


@pytest.mark.parametrize("code", some_of(["53100", "57014", "55P03", "25006", "57P01"]))
def test_an_error_of_postgresql_while_the_token_is_recorded_is_a_503(
    house: Callable[..., House], tmp_path: Path, postgres_url: str, code: str
) -> None:
    """A full disk, a cancelled statement, a lock, a standby, a shutdown."""
    (tmp_path / "key").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    (tmp_path / "key").chmod(0o600)
    its = house(database=postgres_url, master_key_file=tmp_path / "key")
    client_id = its.delegated_name()
    assert asked(its, client_id) == (200, "")
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$".encode()
        )
        connection.execute("CREATE TRIGGER fail BEFORE INSERT ON event_delegations EXECUTE FUNCTION fail()")
        try:
            assert asked(its, client_id) == (503, "unavailable")
            with listening(its, directly=True) as direct:
                assert direct().ask(request(client_id)).status == 503, "as the HTTP protocol answers"
        finally:
            connection.execute("DROP FUNCTION fail CASCADE")
    assert asked(its, client_id) == (200, "")
    assert len(tokens_of(its)) == 2


@contextmanager
def while_locked(its: House, change: Callable[[Tx], Any] = lambda _: None) -> Iterator[ThreadPoolExecutor]:
    """Within the context, another transaction holds the authority lock; at its end it makes the change and commits."""
    held, over = threading.Event(), threading.Event()

    def work(tx: Tx) -> None:
        held.set()
        assert over.wait(20)
        change(tx)

    with ThreadPoolExecutor() as threads:
        changing = threads.submit(its.authority.database.change, work)
        assert held.wait(20)
        yield threads
        time.sleep(0.3)  # for what was sent to arrive and to wait; if it comes later, the test proves less
        over.set()
        changing.result(20)


def test_a_change_that_is_made_while_requests_wait_counts_for_each_of_them(its: House) -> None:
    client_id = its.delegated_name()
    assert asked(its, client_id) == (200, "")

    def disable(tx: Tx) -> None:
        clients.disable(tx, act(), client_id)

    with while_locked(its, disable) as threads:
        waiting = [threads.submit(asked, its, client_id) for _ in range(MANY - 1)]
    assert {each.result(20) for each in waiting} == {(403, "client_disabled")}
    assert len(tokens_of(its)) == 1


def test_each_of_many_has_a_token_and_a_record_of_its_own(its: House) -> None:
    one, other = its.delegated_name("One"), its.delegated_name("Other")
    with while_locked(its) as threads:
        waiting = [threads.submit(asked, its, each) for each in (one, other) for _ in range(3)]
    assert {each.result(20) for each in waiting} == {(200, "")}
    assert len(set(tokens_of(its))) == 6
    events = [each for each in its.events() if each.event.kind == "token.issued"]
    assert [each.id for each in events] == sorted({each.id for each in events})
    assert sorted(each.event.client.id for each in events if each.event.client) == sorted([one, other] * 3)


def test_one_assertion_twice_among_those_that_wait_gets_one_token(its: House) -> None:
    agent = its.delegated_agent()
    assert asked(its, agent.client_id, agent.assertion()) == (200, "")
    proof = agent.assertion()
    with while_locked(its) as threads:
        waiting: list[Future[tuple[int, str]]] = [
            threads.submit(asked, its, agent.client_id, each) for each in (proof, proof, agent.assertion())
        ]
    assert sorted(each.result(20) for each in waiting) == [(200, ""), (200, ""), (401, "attestation_invalid")]
    assert len(tokens_of(its)) == 3


def test_a_limit_is_charged_once_though_the_transaction_is_repeated(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two requests that the database refuses together, each is tried alone."""
    client_id = its.delegated_name()
    assert asked(its, client_id) == (200, "")
    record_all = audit.record_all

    def refuse_many(tx: Tx, events: Any) -> None:
        if len(events) > 1:
            raise IntegrityError("", {}, ValueError())
        record_all(tx, events)

    monkeypatch.setattr(audit, "record_all", refuse_many)
    with while_locked(its) as threads:
        waiting = [threads.submit(asked, its, client_id) for _ in range(MANY - 1)]
    assert {each.result(20) for each in waiting} == {(200, "")}
    assert asked(its, client_id) == (429, "rate_limited")
    assert len(tokens_of(its)) == MANY


@pytest.mark.sqlite_suffices
def test_a_token_that_cannot_be_signed_is_recorded_and_not_given(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client_id = its.delegated_name()
    assert asked(its, client_id) == (200, "")

    def fail(*_: object) -> bytes:
        raise Unavailable("The key is away.")

    with monkeypatch.context() as patched:
        patched.setattr(type(its.authority.tokens.signer), "sign", fail)
        assert asked(its, client_id) == (503, "unavailable")
    assert len(tokens_of(its)) == 2
    assert asked(its, client_id) == (200, "")


@pytest.mark.sqlite_suffices
def test_facts_that_a_change_made_stale_are_read_once_for_all_that_wait(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = its.delegated_name("One"), its.delegated_name("Other")
    for each in (one, other):
        assert asked(its, each) == (200, "")
    read: list[list[str]] = []

    def counting(tx: Tx, requests: Sequence[TokenRequest], default_audience: str) -> list[Facts]:
        read.append([each.client_id for each in requests])
        return load_all_facts(tx, requests, default_audience)

    monkeypatch.setattr(recording, "load_all_facts", counting)
    its.delegated_name("Third")  # with a new role, which may concern every client

    async def ask_at_once() -> list[Any]:
        begun = [its.authority.tokens.begin(request_of(each)) for each in (one, other) * 2]
        return [await each.outcome() for each in begun if each]

    assert [type(each) for each in asyncio.run(ask_at_once())] == [Issued] * 4
    assert read == [[one, other]]


def test_a_change_of_something_else_leaves_the_decision_and_moves_the_version(its: House) -> None:
    """After a change of the client itself, the server decides anew."""
    client_id, database = its.delegated_name(), its.authority.database
    claimed: list[int] = []

    def template() -> Any:
        token = its.door().get(ENDPOINT, params={"client_id": client_id}).json()["token"]
        claimed.append(json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["authority_version"])
        kept = its.authority.tokens.recent.of(request_of(client_id), 0)
        assert kept is not None
        (made,) = kept.templates.values()
        return made

    first = template()
    its.delegated_name("Other")
    assert template() is first
    database.change(lambda tx: clients.edit(tx, act(), client_id, revision=1, changes={"name": "Renamed"}))
    assert template() is not first
    events = [each.event for each in its.events() if each.event.kind == "token.issued"]
    assert [each.client.name for each in events if each.client] == ["Open", "Open", "Renamed"]
    assert [each.authority_version for each in events] == claimed
    assert claimed[0] < claimed[1] < claimed[2] == database.read(lambda tx: tx.version)


def test_facts_of_many_requests_are_those_of_each(house_on_each: Callable[..., House]) -> None:
    """Also for clients that do not exist, and for names that no API has."""
    its, issuer = house_on_each(local_operator=True), kubernetes()
    door = its.door()
    trust(its, issuer)
    for name, algorithm in (("crm", "ES256"), ("erp", "RS256"), ("hr", "EdDSA")):
        body = {"name": name, "slug": name, "identifier": f"https://{name}.example", "signing_algorithm": algorithm}
        assert door.post("/authsec/api/v1/apis", json=body).status_code == 201
    agents = [
        its.delegated_name("Open"),
        its.delegated_name("For one", audiences=("https://crm.example",)),
        its.delegated_name("For two", audiences=("https://erp.example", "https://hr.example")),
        its.delegated_agent().client_id,
        agent(its, issuer, *HELPER, name="Pod"),
        "00000000-0000-4000-8000-000000000000",
    ]
    resources: list[tuple[str, ...]] = [(), ("crm",), ("https://hr.example", "erp"), ("https://no.example",)]
    requests = [replace(request_of(each), resources=named) for each in agents for named in resources]
    together, alone = its.authority.database.read(
        lambda tx: (
            load_all_facts(tx, requests, "authsec-api"),
            [load_facts(tx, each, "authsec-api") for each in requests],
        )
    )
    assert together == alone
    assert [facts.client.id if facts.client else None for facts in together[:: len(resources)]] == [*agents[:-1], None]
    assert together[1].audiences == {"crm": "https://crm.example"}
    assert together[1].algorithms == {"https://crm.example": Algorithm.ES256}
    assert [*together[4 * len(resources)].trusted_issuers] == [issuer.trusted_issuer.id]
    assert {len(facts.authorities) for facts in together} == {0, 1}


@pytest.mark.sqlite_suffices
def test_kept_facts_refuse_nothing_that_is_allowed_by_now(its: House) -> None:
    client_id = its.delegated_name()
    database = its.authority.database
    assert asked(its, client_id) == (200, "")
    database.change(lambda tx: clients.disable(tx, act(), client_id))
    assert asked(its, client_id) == (403, "client_disabled")
    database.change(lambda tx: clients.enable(tx, act(), client_id))
    assert asked(its, client_id) == (200, "")


@pytest.mark.sqlite_suffices
def test_an_unknown_client_is_asked_for_anew_each_time(its: House) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert asked(its, unknown) == (404, "client_not_found")
    assert its.authority.tokens.recent.of(request_of(unknown), 0.0) is None


def request_of(client_id: str) -> TokenRequest:
    return TokenRequest(
        client_id=client_id,
        actions=None,
        resources=(),
        evidence=None,
        address="192.0.2.1",
        request_id="req_00000000000000000000test",
    )


def kept(client: str, actions: int = 0, resources: tuple[str, ...] = ()) -> tuple[TokenRequest, KeptFacts]:
    """What is kept of a request, with so many actions."""
    held = authority(role=tuple(f"a:{number}" for number in range(actions)), actions=())
    its = Facts(version=1, client=client_of(id=client), authorities=(held,), audiences={})
    return replace(request_of(client), resources=resources), KeptFacts(its, 0.0)


def test_the_facts_of_clients_that_came_longest_ago_make_room() -> None:
    recent = RecentFacts(most=3 * FIXED_WEIGHT + 300)
    for client in ("one", "two", "three"):
        recent.keep(*kept(client, 100))
    assert recent.of(request_of("one"), 0.0)
    recent.keep(*kept("four", 100))
    assert [bool(recent.of(request_of(client), 0.0)) for client in ("one", "two", "three", "four")] == [
        True,
        False,
        True,
        True,
    ]


def test_room_is_free_again_for_facts_that_are_read_anew() -> None:
    recent = RecentFacts(most=2 * FIXED_WEIGHT + 200)
    for _ in range(50):
        for client in ("one", "two"):
            recent.keep(*kept(client, 100))
    assert recent.of(request_of("one"), 0.0)
    assert recent.of(request_of("two"), 0.0)


def test_one_client_has_facts_for_few_combinations_of_resources() -> None:
    recent = RecentFacts()
    for number in range(10):
        recent.keep(*kept("one", 0, (f"https://{number}.example",)))
    found = [recent.of(kept("one", 0, (f"https://{number}.example",))[0], 0.0) for number in range(10)]
    assert sum(each is not None for each in found) == MOST_RESOURCES
