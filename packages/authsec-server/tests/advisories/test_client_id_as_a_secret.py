"""Whoever knows a client_id gets the agent's token: the hole that this product exists to close.

A client_id stands in code, tickets and logs. Rivals hand out the token for it; here it is a name, and nothing more.
"""

from __future__ import annotations

import json
from typing import Any

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_the_name_alone_gives_nothing_and_tells_nothing(house: Any) -> None:
    its = house()
    agent = its.delegated_agent("Payroll")
    answer = its.door().get(ENDPOINT, params={"client_id": agent.client_id})
    assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_required")
    for told in ("Payroll", "payroll", "customers", "key_pair", agent.key.public.thumbprint()):
        assert told not in json.dumps(answer.json())


def test_a_stranger_does_not_learn_whether_the_agent_is_disabled_or_delegated(house: Any) -> None:
    its = house(local_operator=True)
    agents = [its.delegated_agent("A"), its.delegated_agent("B")]
    door = its.door()
    assert door.post(f"/authsec/api/v1/clients/{agents[1].client_id}/disable").status_code == 200
    answers = [door.get(ENDPOINT, params={"client_id": agent.client_id}).json() for agent in agents]
    for answer in answers:
        del answer["request_id"]
    assert answers[0] == answers[1]


def test_the_slug_gives_nothing_either(house: Any) -> None:
    its = house()
    its.delegated_name("Open")
    assert its.door().get(ENDPOINT, params={"client_id": "open"}).json()["reason"] == "client_id_invalid"
