"""A stranger sends the sign-in form, byte by byte, five hundred times at once: no agent finds a place any more.

Who has not signed in shares a few places for that among strangers. Agents and those who are in have the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import anyio
from authsec_server.console.site import GUESTS, GUESTS_OF_ONE
from authsec_server.tokens.token_endpoint import AT_ONCE, OF_ONE_NETWORK
from authsec_server.web.oauth_errors import TOKEN_PATH

House = Any
T = TypeVar("T")
TOKEN = "/authsec/uflow/sdk/delegation-token"
FORM = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}


class Slow:
    """Those whose form does not come to its end; `there` is set when so many of them are being waited for."""

    def __init__(self, expected: int) -> None:
        self.waiting = 0
        self.there = anyio.Event()
        self._expected = expected

    async def receive(self) -> Mapping[str, Any]:
        self.waiting += 1
        if self.waiting == self._expected:
            self.there.set()
        await anyio.sleep_forever()
        raise AssertionError


async def whole() -> Mapping[str, Any]:
    return {"type": "http.request", "body": b"email=a&password=b", "more_body": False}


async def ask(its: House, method: str, path: str, address: str, receive: Callable[[], Any] = whole) -> int:
    """The status of the answer."""
    headers = {"host": "127.0.0.1:7468"} | (FORM if method == "POST" else {})
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": (address, 1),
        "server": ("127.0.0.1", 7468),
        "state": {},
    }
    statuses = []

    async def send(message: Mapping[str, Any]) -> None:
        statuses.append(message.get("status"))

    await its.authority.app(scope, receive, send)
    return int(statuses[0])


async def answers(
    its: House, slow: Slow, from_where: Iterable[str], then: Callable[[], Awaitable[T]], path: str = "/console/sign-in"
) -> T:
    """What `then` comes to while all of those are at the door."""
    async with anyio.create_task_group() as strangers:
        for address in from_where:
            strangers.start_soon(ask, its, "POST", path, address, slow.receive)
        with anyio.fail_after(10):
            await slow.there.wait()
        found = await then()
        strangers.cancel_scope.cancel()
    return found


def test_strangers_take_no_place_of_an_agent(house: Callable[..., House]) -> None:
    its = house(max_in_flight=GUESTS + 4)

    async def meanwhile() -> list[int]:
        return [
            await ask(its, "POST", "/console/sign-in", "192.0.2.1"),
            await ask(its, "GET", TOKEN, "192.0.2.1"),
            await ask(its, "GET", "/console/sign-in", "192.0.2.1"),
            await ask(its, "GET", "/console/keys", "192.0.2.1"),
        ]

    async def attack() -> tuple[list[int], int]:
        slow = Slow(GUESTS)
        found = await answers(its, slow, (f"198.51.100.{number}" for number in range(GUESTS + 20)), meanwhile)
        return found, await ask(its, "POST", "/console/sign-in", "192.0.2.1")

    assert anyio.run(attack) == ([503, 400, 200, 303], 400)


def test_one_stranger_keeps_nobody_else_from_the_door(house: Callable[..., House]) -> None:
    its = house()

    async def attack() -> tuple[list[int], int]:
        slow = Slow(GUESTS_OF_ONE)

        async def meanwhile() -> list[int]:
            return [await ask(its, "POST", "/console/sign-in", each) for each in ("198.51.100.7", "192.0.2.1")]

        return await answers(its, slow, ["198.51.100.7"] * (GUESTS + 20), meanwhile), slow.waiting

    assert anyio.run(attack) == ([503, 400], GUESTS_OF_ONE)


def test_slow_forms_at_the_token_endpoint_keep_no_agent_out(house: Callable[..., House]) -> None:
    its = house(max_in_flight=AT_ONCE + 4)

    async def meanwhile() -> list[int]:
        return [
            await ask(its, "POST", TOKEN_PATH, "192.0.2.1"),
            await ask(its, "GET", TOKEN, "192.0.2.1"),
            await ask(its, "POST", "/console/sign-in", "192.0.2.1"),
        ]

    async def attack() -> tuple[list[int], int]:
        slow = Slow(AT_ONCE)
        from_where = (f"198.51.100.{number}" for number in range(AT_ONCE + 20))
        return await answers(its, slow, from_where, meanwhile, TOKEN_PATH), await ask(
            its, "POST", TOKEN_PATH, "192.0.2.1"
        )

    assert anyio.run(attack) == ([503, 400, 400], 400)


def test_slow_forms_of_one_network_leave_the_token_endpoint_to_others(house: Callable[..., House]) -> None:
    its = house()

    async def attack() -> tuple[list[int], int]:
        slow = Slow(OF_ONE_NETWORK)

        async def meanwhile() -> list[int]:
            return [await ask(its, "POST", TOKEN_PATH, each) for each in ("198.51.100.7", "192.0.2.1")]

        return await answers(its, slow, ["198.51.100.7"] * (AT_ONCE + 20), meanwhile, TOKEN_PATH), slow.waiting

    assert anyio.run(attack) == ([503, 400], OF_ONE_NETWORK)
