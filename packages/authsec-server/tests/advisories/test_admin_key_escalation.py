"""A key that may little makes itself a key that may more, ends the keys of others, or has the signing keys rotated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

API = "/authsec/api/v1"


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_no_key_grants_what_it_does_not_hold(house: Callable[..., Any], role: str) -> None:
    operator = house(local_operator=True).door()
    lesser = operator.post(f"{API}/admin-keys", json={"name": "lesser", "role": role}).json()
    other = operator.post(f"{API}/admin-keys", json={"name": "other", "role": "admin"}).json()
    its = house()
    door = its.door(Authorization=f"Bearer {lesser['key']}")
    before = operator.get(f"{API}/keys").json()
    for path, body in [
        ("admin-keys", {"name": "mine", "role": "admin"}),
        ("admin-keys", {"name": "mine", "role": role}),
        (f"admin-keys/{other['id']}/revoke", {}),
        (f"admin-keys/{lesser['id']}/revoke", {}),
        ("keys/rotate", {"force": True}),
    ]:
        answer = door.post(f"{API}/{path}", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted"), path
    assert operator.get(f"{API}/keys").json() == before
    assert [key["revoked_at"] for key in operator.get(f"{API}/admin-keys").json()["items"]] == [None, None]
