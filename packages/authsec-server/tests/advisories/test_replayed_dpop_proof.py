"""A DPoP proof that was seen once is sent again: at the same server, at another one, by another client, or at once.

The servers of one database share the table of used proofs, and one statement decides which of two requests is first.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec.jose import PrivateKey
from dpop_proofs import KEY, proof, sent
from token_endpoint import by_assertion

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # the order of its base point


@pytest.fixture
def its(house_on_each: Any) -> Any:
    return house_on_each()


def outcome(answer: Any) -> str:
    if answer.status_code == 200:
        return str(answer.json()["token_type"])
    assert answer.status_code == 400
    assert "already used" in answer.json()["details"]
    return str(answer.json()["error"])


def test_a_proof_is_used_up_at_each_server(house_on_each: Any) -> None:
    its, second = house_on_each(), house_on_each()
    agent, other = its.delegated_agent("A"), its.delegated_agent("B")
    one = sent(proof(KEY, its.clock.now()))
    assert outcome(by_assertion(its.door(), agent.assertion(), headers=one)) == "DPoP"
    for server in (its, second):
        for client in (agent, other):
            assert outcome(by_assertion(server.door(), client.assertion(), headers=one)) == "invalid_dpop_proof"
    assert sum(recorded.event.kind == "token.issued" for recorded in its.events()) == 1


def test_of_many_at_once_exactly_one_is_served(house_on_each: Any) -> None:
    servers = [house_on_each(), house_on_each()]
    agent = servers[0].delegated_agent()
    one = sent(proof(KEY, servers[0].clock.now()))
    doors = [server.door() for server in servers]

    def ask(number: int) -> str:
        return outcome(by_assertion(doors[number % 2], agent.assertion(), headers=one))

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(ask, range(16)))
    assert outcomes == ["DPoP", *["invalid_dpop_proof"] * 15]


@pytest.mark.sqlite_suffices
def test_a_refused_request_uses_up_its_proof(its: Any) -> None:
    """Otherwise a proof that an attacker saw in a refused request would still be good."""
    agent, one = its.delegated_agent(), sent(proof(KEY, its.clock.now()))
    refused = by_assertion(its.door(), agent.assertion(), headers=one, scope="customers:delete")
    assert refused.json()["reason"] == "action_not_allowed"
    assert outcome(by_assertion(its.door(), agent.assertion(), headers=one)) == "invalid_dpop_proof"


@pytest.mark.sqlite_suffices
def test_the_same_jti_of_another_key_is_another_proof(its: Any) -> None:
    """Else a stranger who guesses a `jti` could use it up in advance."""
    agent, now = its.delegated_agent(), its.clock.now()
    for key in (KEY, PrivateKey.generate_ec()):
        made = sent(proof(key, now, jti="the-same"))
        assert outcome(by_assertion(its.door(), agent.assertion(), headers=made)) == "DPoP"
    again = sent(proof(KEY, now, jti="the-same", nonce=None, extra=1))
    assert outcome(by_assertion(its.door(), agent.assertion(), headers=again)) == "invalid_dpop_proof"


@pytest.mark.sqlite_suffices
def test_the_other_signature_that_anybody_can_make_of_one(its: Any) -> None:
    agent = its.delegated_agent()
    signed, _, signature = proof(KEY, its.clock.now()).rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    other = octets[:32] + (P256 - int.from_bytes(octets[32:])).to_bytes(32)
    both = [f"{signed}.{base64.urlsafe_b64encode(each).rstrip(b'=').decode()}" for each in (other, octets)]
    outcomes = [outcome(by_assertion(its.door(), agent.assertion(), headers=sent(each))) for each in both]
    assert outcomes == ["DPoP", "invalid_dpop_proof"]


@pytest.mark.sqlite_suffices
def test_a_stranger_s_proofs_are_not_stored(its: Any) -> None:
    """Only a request with a valid credential writes a row. Its address and its client have limits."""
    agent = its.delegated_agent()
    for _ in range(5):
        made = sent(proof(PrivateKey.generate_ec(), its.clock.now()))
        assert by_assertion(its.door(), agent.assertion(aud="elsewhere"), headers=made).status_code == 401
    count = "SELECT count(*) FROM used_assertions"
    assert its.authority.database.read(lambda tx: tx.connection.exec_driver_sql(count).scalar_one()) == 0


@pytest.mark.sqlite_suffices
def test_replays_are_counted_and_fill_no_audit_log(its: Any) -> None:
    agent, one = its.delegated_agent(), sent(proof(KEY, its.clock.now()))
    for _ in range(6):
        by_assertion(its.door(), agent.assertion(), headers=one)
    (refused,) = [recorded for recorded in its.events() if recorded.event.kind == "token.refused"]
    assert (refused.event.reason, refused.count) == ("invalid_dpop_proof", 5)
