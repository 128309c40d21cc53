"""Agents get tokens over raw sockets while keys change, a lock is held, connections are cut, and the server ends.

All of it on both databases.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.attestation import service as attestation
from authsec_server.audit.model import EventKind
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.principal import LOCAL_OPERATOR, Act
from raw_http import Answer, Line, Listening, listening, request

from .conftest import NOW

House = Any
AGENTS = 4
HELD_SECONDS = 5.0


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    return house_on_each(unproved_limit=1_000_000, address_limit=1_000_000, local_operator=True)


@dataclass
class Seen:
    """The answers: for each the moments before the request and after the answer, the status, and the key's `kid`."""

    answers: list[tuple[float, float, int, str]] = field(default_factory=list)

    @property
    def statuses(self) -> set[int]:
        return {status for _, _, status, _ in self.answers}

    @property
    def granted(self) -> int:
        return sum(status == 200 for _, _, status, _ in self.answers)

    def since(self, moment: float) -> set[str]:
        """The keys of the tokens that were asked for after this moment."""
        return {kid for asked, _, status, kid in self.answers if asked > moment and status == 200}


def ask(line: Line, client: str, seen: Seen) -> None:
    asked = time.monotonic()
    answer = line.ask(request(client))
    kid = parse_compact(json.loads(answer.body)["token"]).header["kid"] if answer.status == 200 else ""
    seen.answers.append((asked, time.monotonic(), answer.status, kid))


@contextmanager
def under_load(its: House, *, signers: int = 0) -> Iterator[Seen]:
    """Within the context, each of some agents asks again and again, and so many processes sign."""
    clients = [its.delegated_name(f"Agent {number}") for number in range(AGENTS)]
    seen, ended = Seen(), threading.Event()

    def go_on(client: str, line: Line) -> None:
        while not ended.is_set():
            ask(line, client, seen)

    with (
        its.authority.tokens.signer.with_processes(signers),
        listening(its, directly=True) as direct,
        ThreadPoolExecutor(AGENTS) as threads,
    ):
        asking: list[Future[None]] = [threads.submit(go_on, client, direct()) for client in clients]
        try:
            until_granted(seen, AGENTS)
            yield seen
            until_granted(seen, seen.granted + AGENTS)
        finally:
            ended.set()
        for each in asking:
            each.result(20)


def until_granted(seen: Seen, count: int) -> None:
    gone = time.monotonic() + 20
    while seen.granted < count and time.monotonic() < gone:
        time.sleep(0.005)
    assert seen.granted >= count


def recorded(its: House) -> int:
    return sum(each.event.kind is EventKind.TOKEN_ISSUED for each in its.events())


@pytest.mark.sqlite_suffices  # test_stale_server_signs_with_a_revoked_key.py has PostgreSQL
@pytest.mark.parametrize("signers", [1, pytest.param(0, marks=pytest.mark.soak)])
def test_a_key_that_was_rotated_and_revoked_signs_nothing_from_then_on(its: House, signers: int) -> None:
    door = its.door()
    with under_load(its, signers=signers) as seen:
        (first,) = seen.since(0)
        assert door.post("/authsec/api/v1/keys/rotate", json={"force": True}).status_code == 200
        rotated = time.monotonic()
        until_granted(seen, seen.granted + 2 * AGENTS)
        (second,) = seen.since(rotated)
        assert second != first
        revoking = time.monotonic()
        answer = door.post(f"/authsec/api/v1/keys/{second}/revoke", json={"reason": "It leaked."})
        assert answer.status_code == 200, answer.text
        revoked = time.monotonic()
        until_granted(seen, seen.granted + 2 * AGENTS)
    assert first not in seen.since(rotated)
    assert second not in seen.since(revoked)
    # A token that was recorded right before its key was revoked, and not signed yet, gets 503: one of each agent.
    lost = [(asked, answered) for asked, answered, status, _ in seen.answers if status == 503]
    assert seen.statuses <= {200, 503}
    assert len(lost) <= AGENTS
    assert all(asked < revoked and answered > revoking for asked, answered in lost)
    assert recorded(its) == seen.granted + len(lost)


@pytest.mark.sqlite_suffices
def test_while_a_lock_is_held_for_five_seconds_everybody_gets_an_answer(its: House) -> None:
    """On SQLite they wait for it. On PostgreSQL they are told to come again: there may be other servers."""
    held = threading.Event()

    def hold(_tx: Tx) -> None:
        held.set()
        time.sleep(HELD_SECONDS)

    with under_load(its) as seen, ThreadPoolExecutor(1) as thread:
        holding = thread.submit(its.authority.database.change, hold)
        assert held.wait(20)
        holding.result(30)
    assert seen.statuses == {200} if its.authority.database.dialect == "sqlite" else {200, 503}
    assert recorded(its) == seen.granted


@pytest.mark.sqlite_suffices
def test_of_requests_whose_connection_is_cut_each_token_is_recorded(its: House) -> None:
    """What a caller who is gone was granted is in the audit log, and no other caller waits for it."""
    with under_load(its) as seen, listening(its, directly=True) as direct:
        gone = its.delegated_name("Gone")
        for number in range(30):
            line = direct()
            line.send(request(gone) * (number % 3 + 1))
            line.close()
    assert seen.statuses == {200}
    issued = [each.event for each in its.events() if each.event.kind is EventKind.TOKEN_ISSUED]
    of_others = [each for each in issued if each.client and each.client.id != gone]
    assert len(of_others) == seen.granted
    assert len({each.jti for each in issued}) == len(issued)


class Waiting:
    """Requests that wait for the batch before theirs, and so share the next one."""

    def __init__(self, its: House, direct: Listening, go: threading.Event) -> None:
        self._queue = its.authority.tokens.batches._queue
        self._direct = direct
        self._go = go
        self._lines: list[Line] = []

    def send(self, client: str, *headers: str) -> None:
        line = self._direct()
        line.send(request(client, *headers))
        self._lines.append(line)
        gone = time.monotonic() + 20
        while self._queue.qsize() < len(self._lines) and time.monotonic() < gone:
            time.sleep(0.005)
        assert self._queue.qsize() == len(self._lines)

    def answers(self) -> list[Answer]:
        """Let them be decided."""
        self._go.set()
        return [line.read() for line in self._lines]


@contextmanager
def behind_a_batch(its: House, direct: Listening, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    """Within the context, the request of one agent is about to be recorded, and all others wait."""
    inside, go, record = threading.Event(), threading.Event(), its.authority.database.record

    def slowly(work: Any) -> Any:
        inside.set()
        assert go.wait(20)
        return record(work)

    first, client = direct(), its.delegated_name("First")
    with monkeypatch.context() as patched:
        patched.setattr(its.authority.database, "record", slowly)
        first.send(request(client))
        assert inside.wait(20)
        try:
            yield Waiting(its, direct, go)
        finally:
            go.set()
        assert first.read().status == 200


def test_one_assertion_twice_in_a_batch_gets_one_token(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, use_once, together = its.delegated_agent(), attestation.use_once, list[int]()

    def counting(tx: Tx, evidence: Any) -> list[bool]:
        together.append(len(evidence))
        return use_once(tx, evidence)

    monkeypatch.setattr(attestation, "use_once", counting)
    proof = agent.assertion()
    with listening(its, directly=True) as direct, behind_a_batch(its, direct, monkeypatch) as waiting:
        for each in (proof, agent.assertion(), proof):
            waiting.send(agent.client_id, f"Authorization: Bearer {each}")
        answers = waiting.answers()
    assert [each.status for each in answers] == [200, 200, 401]
    assert b"already used" in answers[2].body
    assert together == [1, 3]
    assert recorded(its) == 3


def test_a_change_while_a_batch_waits_counts_for_each_of_its_requests(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, other = its.delegated_name("Ended"), its.delegated_name("Other")
    act = Act(
        principal=LOCAL_OPERATOR, now=NOW, request_id="req_000000000000000000change", address="", token_bytes=bytes
    )
    with listening(its, directly=True) as direct:
        assert [direct().ask(request(each)).status for each in (ended, other)] == [200, 200], (
            "their facts are in memory"
        )
        with behind_a_batch(its, direct, monkeypatch) as waiting:
            for each in (ended, other, ended):
                waiting.send(each)
            its.authority.database.change(lambda tx: clients.disable(tx, act, ended))
            answers = waiting.answers()
    assert [each.status for each in answers] == [403, 200, 403]
    assert b"client_disabled" in answers[0].body
    assert recorded(its) == 4


@pytest.mark.sqlite_suffices
def test_what_waits_while_the_server_ends_is_answered(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = its.delegated_name()
    with listening(its, directly=True) as direct, behind_a_batch(its, direct, monkeypatch) as waiting:
        for _ in range(3):
            waiting.send(client)
        direct.end()
        time.sleep(0.3)  # until the server has closed its port; if it does so later, the test proves less
        answers = waiting.answers()
    assert [each.status for each in answers] == [200, 200, 200]
    assert {dict(each.headers).get("connection") for each in answers} == {"close"}
    assert recorded(its) == 4
