"""Requests that wait for the same lock are decided and recorded together, on facts that may have been kept before.

Each is decided as if it had come alone, on the authority of that moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.tokens.decision import Facts
from authsec_server.tokens.facts import KeptFacts, RecentFacts
from authsec_server.tokens.request import TokenRequest
from sqlalchemy.exc import IntegrityError

from .conftest import NOW, House

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
MANY = 6


@pytest.fixture(params=["sqlite", "postgresql"])
def its(request: pytest.FixtureRequest, house: Callable[..., House], tmp_path: Path) -> House:
    if request.param == "sqlite":
        return house(unproved_limit=MANY)
    (tmp_path / "key").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    (tmp_path / "key").chmod(0o600)
    url = request.getfixturevalue("postgres_url")
    return house(database=url, master_key_file=tmp_path / "key", unproved_limit=MANY)


def asked(its: House, client_id: str, proof: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {proof}"} if proof else {}
    answer = its.door().get(ENDPOINT, params={"client_id": client_id}, headers=headers)
    return answer.status_code, answer.json().get("reason", "")


def act() -> Act:
    return Act(principal=LOCAL_OPERATOR, now=NOW, request_id="req_change", address="", token_bytes=bytes)


def tokens_of(its: House) -> list[str]:
    return [each.event.jti for each in its.events() if each.event.kind == "token.issued"]


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


def test_kept_facts_refuse_nothing_that_is_allowed_by_now(its: House) -> None:
    client_id = its.delegated_name()
    database = its.authority.database
    assert asked(its, client_id) == (200, "")
    database.change(lambda tx: clients.disable(tx, act(), client_id))
    assert asked(its, client_id) == (403, "client_disabled")
    database.change(lambda tx: clients.enable(tx, act(), client_id))
    assert asked(its, client_id) == (200, "")


def test_an_unknown_client_is_asked_for_anew_each_time(its: House) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    assert asked(its, unknown) == (404, "client_not_found")
    assert its.authority.tokens.recent.of(request_of(unknown)) is None


def request_of(client_id: str) -> TokenRequest:
    return TokenRequest(
        client_id=client_id, actions=None, resources=(), evidence=None, address="192.0.2.1", request_id="req_test"
    )


def facts(version: int, client: Any = "somebody") -> Facts:
    return Facts(version=version, client=client, authorities=(), audiences={})


def test_the_oldest_facts_make_room() -> None:
    recent = RecentFacts(most=2)
    for number in range(3):
        recent.keep(request_of(f"client {number}"), facts(number))
    kept = [recent.of(request_of(f"client {number}")) for number in range(3)]
    assert kept == [None, KeptFacts(facts(1)), KeptFacts(facts(2))]


def test_an_older_database_that_reaches_the_same_version_is_another_authority() -> None:
    recent = RecentFacts()
    recent.at_version(7)
    recent.keep(request_of("client"), facts(7))
    recent.at_version(8)
    assert recent.of(request_of("client")) == KeptFacts(facts(7))
    recent.at_version(6)
    assert recent.of(request_of("client")) is None
