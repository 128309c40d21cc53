"""A stranger asks as fast as it can, so that the audit log fills the disk and no more tokens can be issued.

Refusals of callers that prove nothing are one counted row for each address, client, reason and minute, and made-up
clients end where the limit of the address does.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.mark.soak
def test_the_same_question_again_and_again_is_one_row(house: Any) -> None:
    its = house()
    agent = its.delegated_agent()
    door = its.door()
    before = len(its.events())
    for _ in range(100):
        door.get(ENDPOINT, params={"client_id": agent.client_id})
    counted = its.events()[before:]
    assert [(recorded.event.reason, recorded.count) for recorded in counted] == [("attestation_required", 100)]


@pytest.mark.soak
def test_made_up_clients_end_at_the_limit_of_the_address(house: Any) -> None:
    its = house(address_limit=20)
    door = its.door()
    before = len(its.events())
    for _ in range(300):
        door.get(ENDPOINT, params={"client_id": str(uuid.uuid4())})
    counted = its.events()[before:]
    assert [(recorded.event.reason, recorded.count) for recorded in counted] == [
        ("client_not_found", 20),
        ("rate_limited", 280),
    ]


@pytest.mark.soak
def test_the_addresses_of_one_subscriber_are_one_row(house: Any) -> None:
    its = house()
    before = len(its.events())
    for number in range(100):
        its.door(f"2001:db8::{number:x}").get(ENDPOINT, params={"client_id": "nonsense"})
        its.door(f"2001:db8::{number:x}").get("/authsec/api/v1/events")
    counted = its.events()[before:]
    assert {recorded.event.address for recorded in counted} == {"2001:db8::/64"}
    assert len(counted) == 3
    assert sum(recorded.count for recorded in counted) == 200, "every refusal is accounted for"


def test_an_unattested_agents_refusals_are_counted_too(house: Any) -> None:
    its = house()
    client_id = its.delegated_name()
    door = its.door()
    before = len(its.events())
    for _ in range(50):
        door.get(ENDPOINT, params={"client_id": client_id, "scope": "customers:delete"})
    assert [recorded.count for recorded in its.events()[before:]] == [50]


def test_replays_of_a_captured_assertion_are_counted_too(house: Any) -> None:
    its = house()
    agent = its.delegated_agent()
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    door = its.door()
    before = len(its.events())
    for _ in range(50):
        door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)
    assert [recorded.count for recorded in its.events()[before:]] == [1, 49]
