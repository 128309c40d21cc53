"""A stolen admin key is used once more: the request is begun, the key revoked, and the body sent afterwards.

Sign-in came before the body, and nobody asked again: the thief made itself a new key, dated before the revocation.
Every change asks again, under the lock under which it is made, and is dated by then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pytest

API = "/authsec/api/v1"
BODY = b'{"name": "backdoor", "role": "admin"}'


@pytest.mark.parametrize("ending", ["revoked", "expired"])
def test_a_key_that_ended_meanwhile_changes_nothing(house: Any, ending: str) -> None:
    operator, its = house(local_operator=True).door(), house()
    made = operator.post(f"{API}/admin-keys", json={"name": "stolen", "role": "admin", "expires_in": 3600}).json()

    async def body() -> Any:
        yield BODY[:5]
        if ending == "expired":
            its.clock.at += timedelta(hours=2)
        else:
            path = f"{API}/admin-keys/{made['id']}/revoke"
            revoked = await anyio.to_thread.run_sync(operator.post, path)
            assert revoked.status_code == 200
        yield BODY[5:]

    async def finish_later() -> httpx2.Response:
        transport = httpx2.ASGITransport(its.authority.app)
        headers = {"Authorization": f"Bearer {made['key']}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7468") as client:
            return await client.post(f"{API}/admin-keys", content=body(), headers=headers)

    answer = anyio.run(finish_later)
    assert (answer.status_code, answer.json()["reason"]) == (401, "not_authenticated")
    names = [key["name"] for key in operator.get(f"{API}/admin-keys").json()["items"]]
    assert names == ["stolen"]


def test_a_change_is_dated_when_it_is_made(house: Any) -> None:
    its = house(local_operator=True)

    async def body() -> Any:
        yield b'{"name": "A", '
        its.clock.at += timedelta(seconds=9)
        yield b'"actions": ["a:b"]}'

    async def slowly() -> None:
        transport = httpx2.ASGITransport(its.authority.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7468") as client:
            assert (await client.post(f"{API}/roles", content=body())).status_code == 201

    anyio.run(slowly)
    assert its.events()[-1].event.at == its.clock.at
