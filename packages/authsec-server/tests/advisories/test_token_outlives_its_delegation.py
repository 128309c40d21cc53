"""A token is fetched in the delegation's last seconds, to be used for an hour after it ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_it_ends_with_its_delegation(house: Any) -> None:
    its = house()
    end = its.clock.now() + timedelta(minutes=10)
    client_id = its.delegated_name(ends_at=end)
    door = its.door()
    its.clock.at = end - timedelta(seconds=7)
    body = door.get(ENDPOINT, params={"client_id": client_id}).json()
    assert body["expires_in"] == 7
    its.clock.at = end
    assert door.get(ENDPOINT, params={"client_id": client_id}).json()["reason"] == "delegation_ended"


def test_the_setting_caps_what_was_delegated_before_it(house: Any) -> None:
    its = house(max_token_lifetime=300)
    client_id = its.delegated_name(max_duration=86_400)
    assert its.door().get(ENDPOINT, params={"client_id": client_id}).json()["expires_in"] == 300
