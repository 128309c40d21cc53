"""One server is told that a signing key was stolen. Another has the key open in its memory, and signs on with it.

Which key signs is read in the transaction that records the token, under the authority lock, never from memory. So no
token is recorded under a key that was revoked before it; and one that was on its way is covered by the revocation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec.jose import parse_compact
from databases import settings_for

House = Any
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
KEYS = "/authsec/api/v1/keys"


@pytest.fixture
def servers(house: Callable[..., House], database_url: str, tmp_path: Path) -> tuple[House, House]:
    """Two of one database; at the first one sits its operator."""
    settings = settings_for(database_url, tmp_path)
    return house(local_operator=True, **settings), house(address_limit=10_000, client_limit=10_000, **settings)


def signing(operator: Any) -> str:
    return next(str(key["kid"]) for key in operator.get(KEYS).json()["items"] if key["state"] == "active")


def test_it_signs_with_none_that_was_revoked_before(servers: tuple[House, House]) -> None:
    told, stale = servers
    agent, operator = stale.delegated_agent(), told.door()
    stop, kids = threading.Event(), list[str]()

    def ask() -> None:
        door = stale.door()
        while not stop.is_set():
            proof = {"Authorization": f"Bearer {agent.assertion()}"}
            answer = door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof)
            assert answer.status_code == 200, answer.text
            kids.append(parse_compact(answer.json()["token"]).header["kid"])

    asking = threading.Thread(target=ask)
    asking.start()
    revoked = []
    try:
        for _ in range(3):
            enough = len(kids) + 5
            while len(kids) < enough:
                stop.wait(0.001)
            revoked.append(signing(operator))
            assert operator.post(f"{KEYS}/{revoked[-1]}/revoke").status_code == 200
    finally:
        stop.set()
        asking.join()
    gone: set[str] = set()
    for event in (each.event for each in stale.events()):
        if event.kind == "key.revoked":
            gone.add(event.kid)
        assert event.kind != "token.issued" or event.kid not in gone
    assert gone == set(revoked) <= set(kids), "each had signed here before"
