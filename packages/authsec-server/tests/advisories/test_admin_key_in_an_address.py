"""An accident: a key that has leaked is to be revoked, and is put where its name belongs.

So it would stand in the server's log, and in whatever shows what the server answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

House = Any
API = "/authsec/api/v1"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def test_a_secret_in_an_address_is_neither_logged_nor_repeated(
    house: Callable[..., House], capfd: pytest.CaptureFixture[str]
) -> None:
    its = house(local_operator=True)
    door, agent = its.door(), its.delegated_name()
    key = door.post(f"{API}/admin-keys", json={"name": "ci", "role": "viewer"}).json()["key"]
    secret = door.post(f"{API}/clients", json={"name": "A", "platform": "secret"}).json()["client_secret"]
    door.post(f"{API}/apis", json={"name": "Orders", "identifier": "orders"})
    credential = door.post(f"{API}/apis/orders/credentials", json={}).json()["credential"]
    token = door.get(ENDPOINT, params={"client_id": agent}).json()["token"]
    capfd.readouterr()
    answers = [
        door.post(f"{API}/admin-keys/{key}/revoke"),
        door.post(f"{API}/admin-keys/{key}/revoke-grants"),
        door.get(f"{API}/admin-keys/{key}"),
    ]
    for each in (secret, credential, token):
        door.get(f"{API}/nowhere/{each}")
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {
        (404, "This is an admin key, not the name of an admin key.")
    }
    logged = "".join(capfd.readouterr())
    assert logged.count("[secret]") == 6
    shown = logged + "".join(answer.text for answer in answers)
    assert not [each for each in (key, secret, credential, *token.split(".")) if each in shown]
