"""A caller writes X-Forwarded-For itself, to be somebody else in the audit log and to leave its limits behind."""

from __future__ import annotations

from typing import Any

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def ask(door: Any, forwarded: str) -> int:
    answer = door.get(ENDPOINT, params={"client_id": UNKNOWN}, headers={"X-Forwarded-For": forwarded})
    status: int = answer.status_code
    return status


def test_without_a_trusted_proxy_it_does_not_count(house: Any) -> None:
    its = house(address_limit=2)
    door = its.door("198.51.100.7")
    assert [ask(door, f"203.0.113.{number}") for number in range(3)] == [404, 404, 429]
    assert {recorded.event.address for recorded in its.events() if recorded.event.address} == {"198.51.100.7"}


def test_behind_a_proxy_only_what_the_proxy_wrote_counts(house: Any) -> None:
    its = house(address_limit=2, trusted_proxies=("10.0.0.0/8",))
    door = its.door("10.0.0.1")
    assert [ask(door, f"1.1.1.{number}, 203.0.113.9") for number in range(3)] == [404, 404, 429]
    assert ask(door, "203.0.113.10") == 404
