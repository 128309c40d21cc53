"""An assertion that was seen once (a log, a proxy) is sent again, or twice at the same moment.

The used `jti` is stored in the transaction that records the token, by one statement of which one of two wins: others
deleted a one-time token without checking that exactly one row went, and two concurrent joins both succeeded.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.attestation import service as attestation
from authsec_server.attestation.model import SingleUse
from authsec_server.audit.sealing.verifying import verify_log
from token_endpoint import by_assertion

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture
def its(house_on_each: Any) -> Any:
    return house_on_each()


def test_of_many_at_once_exactly_one_is_served(its: Any) -> None:
    agent = its.delegated_agent()
    headers = {"Authorization": f"Bearer {agent.assertion()}"}

    def ask(_number: int) -> tuple[int, str]:
        answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)
        return answer.status_code, answer.json().get("reason", "")

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, range(16)))
    assert sorted(outcomes) == [(200, ""), *[(401, "attestation_invalid")] * 15]
    assert sum(recorded.event.kind == "token.issued" for recorded in its.events()) == 1


def test_an_assertion_is_used_up_at_both_endpoints_of_each_server(house_on_each: Any) -> None:
    """Servers share the table of used assertions, and so do the two token endpoints."""
    its, second = house_on_each(), house_on_each()
    agent = its.delegated_agent()
    first_at = {"token endpoint": True, "delegation-token endpoint": False}
    for order in (first_at, dict(reversed(first_at.items()))):
        assertion = agent.assertion()

        def ask(server: Any, *, at_token_endpoint: bool, assertion: str = assertion) -> Any:
            if at_token_endpoint:
                return by_assertion(server.door(), assertion)
            headers = {"Authorization": f"Bearer {assertion}"}
            return server.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)

        first, *_ = order.values()
        assert ask(its, at_token_endpoint=first).status_code == 200
        for server in (second, its):
            for at_token_endpoint in order.values():
                refused = ask(server, at_token_endpoint=at_token_endpoint)
                assert (refused.status_code, refused.json()["reason"]) == (401, "attestation_invalid")
                assert "already used" in refused.json()["details"]


@pytest.mark.sqlite_suffices
def test_the_same_jti_of_another_agent_is_another_assertion(its: Any) -> None:
    for agent in (its.delegated_agent("A"), its.delegated_agent("B")):
        headers = {"Authorization": f"Bearer {agent.assertion(jti='the-same')}"}
        assert its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers).status_code == 200


P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # the order of its base point


@pytest.mark.sqlite_suffices
def test_the_other_signature_that_anybody_can_make_of_one(its: Any) -> None:
    """Beside each ECDSA signature (r, s) stands (r, -s), which verifies too: another text, and the same `jti`."""
    agent = its.delegated_agent(key=PrivateKey.generate_ec())
    signed, _, signature = agent.assertion().rpartition(".")
    octets = base64.urlsafe_b64decode(signature + "==")
    other = octets[:32] + (P256 - int.from_bytes(octets[32:])).to_bytes(32)
    both = [f"{signed}.{base64.urlsafe_b64encode(each).rstrip(b'=').decode()}" for each in (other, octets)]
    answers = [
        its.door().get(
            ENDPOINT, params={"client_id": agent.client_id}, headers={"Authorization": f"Bearer {assertion}"}
        )
        for assertion in both
    ]
    assert [answer.status_code for answer in answers] == [200, 401], "it verifies, and is used up with the first"
    assert "already used" in answers[1].json()["details"]


@pytest.mark.sqlite_suffices
def test_forgetting_used_assertions_brings_none_back(its: Any) -> None:
    agent = its.delegated_agent()
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    door = its.door()
    assert door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers).status_code == 200
    for _ in range(60):
        its.clock.at += timedelta(seconds=5)
        its.authority.database.append(lambda tx: attestation.forget_used(tx, its.clock.now()))
        again = door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)
        assert again.status_code == 401


@pytest.mark.parametrize("lives", [(300, 10), (10, 300)])
def test_of_two_with_one_jti_in_one_transaction_the_longer_life_counts(its: Any, lives: tuple[int, int]) -> None:
    client, now, database = "00000000-0000-4000-8000-000000000000", its.clock.now(), its.authority.database
    both = [(client, SingleUse(jti_sha256="a" * 64, until=now + timedelta(seconds=seconds))) for seconds in lives]
    assert database.record(lambda tx: attestation.use_once(tx, both)) == [True, False]
    database.append(lambda tx: attestation.forget_used(tx, now + timedelta(seconds=60)))
    assert database.record(lambda tx: attestation.use_once(tx, both)) == [False, False]


@pytest.mark.sqlite_suffices
def test_one_whose_row_raw_sql_deletes_is_served_again_and_only_the_events_show_that(its: Any) -> None:
    """`docs/audit-verify.md` says so: no event has these rows."""
    agent, database = its.delegated_agent(), its.authority.database
    if database.dialect == "postgresql":
        pytest.skip("the clock of the test is not that of PostgreSQL, so nothing is sealed")
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    door = its.door()
    for _ in range(2):
        assert door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers).status_code == 200
        database.append(lambda tx: tx.connection.exec_driver_sql("DELETE FROM used_assertions"))
    while its.authority.dropper.sealer.seal():
        pass
    assert database.read(lambda tx: verify_log(tx, its.authority.sealing_keyring.by_kid())).findings == ()
    assert sum(recorded.event.kind == "token.issued" for recorded in its.events()) == 2
