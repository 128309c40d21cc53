"""A viewer begins five hundred downloads of the audit log and takes none of them: no agent finds a place any more.

Each person has a few downloads at a time. One that was taken, or broken off, makes room for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
from authsec_server.console.site import DOWNLOADS_OF_ONE
from people import first_administrator, invited
from starlette.testclient import TestClient

House = Any
EXPORT = "/console/activity/export.jsonl"
TOKEN = "/authsec/uflow/sdk/delegation-token"


def test_who_takes_nothing_holds_no_place_of_an_agent(house: Callable[..., House]) -> None:
    its = house(max_in_flight=2 * DOWNLOADS_OF_ONE + 1)
    ada = first_administrator(its)
    vic = invited(its, ada, "viewer")

    async def attack() -> list[int]:
        started, taken = [], anyio.Event()

        async def begin() -> None:
            own = list[int]()

            async def send(message: Mapping[str, Any]) -> None:
                if "status" in message:
                    own.append(message["status"])
                    started.append(message["status"])
                    if len(started) == 2 * DOWNLOADS_OF_ONE:
                        taken.set()
                elif own == [200]:
                    await anyio.sleep_forever()

            await its.authority.app(asked(vic), receive, send)

        async with anyio.create_task_group() as viewers:
            for _ in range(2 * DOWNLOADS_OF_ONE):
                viewers.start_soon(begin)
            with anyio.fail_after(10):
                await taken.wait()
            others = [ada.get(EXPORT).status_code, its.door().get(TOKEN).status_code]
            viewers.cancel_scope.cancel()
        return sorted(started) + others

    half = DOWNLOADS_OF_ONE
    assert anyio.run(attack) == [200] * half + [503] * half + [200, 400]
    for _ in range(DOWNLOADS_OF_ONE + 1):  # what was broken off, and what was taken, makes room
        assert vic.get(EXPORT).status_code == 200


async def receive() -> Mapping[str, Any]:
    await anyio.sleep_forever()
    raise AssertionError


def asked(door: TestClient) -> dict[str, Any]:
    """A request for the audit log from this browser."""
    cookies = "; ".join(f"{name}={value}" for name, value in door.cookies.items())
    headers = {"host": "127.0.0.1:7468", "cookie": cookies}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": EXPORT,
        "raw_path": EXPORT.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1),
        "server": ("127.0.0.1", 7468),
        "state": {},
    }
