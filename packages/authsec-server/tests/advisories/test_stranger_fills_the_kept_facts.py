"""A stranger knows a client's id, which is public, and asks for invented resources: the server keeps facts for each.

Facts are kept only of requests that got a token, and for few combinations of resources of each client.
"""

from __future__ import annotations

from typing import Any

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_nothing_is_kept_of_a_request_that_got_no_token(house: Any) -> None:
    its = house()
    agent = its.delegated_agent()
    for number in range(20):
        asked = {"client_id": agent.client_id, "resource": f"https://{number}.example/{'x' * 100}"}
        assert its.door().get(ENDPOINT, params=asked).status_code == 401
        proof = {"Authorization": f"Bearer {agent.assertion()}"}
        assert its.door().get(ENDPOINT, params=asked, headers=proof).status_code == 400
    assert not its.authority.tokens.recent._kept
