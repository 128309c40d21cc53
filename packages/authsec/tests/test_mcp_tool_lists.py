"""The lists of tools that `mcp_auth` keeps, whatever a server makes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from authsec.testing import ThrowawayAuthority

pytest_plugins = ["authsec.testing"]

ACCEPT = {"Accept": "application/json, text/event-stream"}
ORIGIN = "https://crm.example.com"


class Pieces(httpx2.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 50_000):
            yield self._body[start : start + 50_000]


def test_each_page_of_a_list_is_its_own_and_an_endless_one_is_not_kept(
    authsec_authority: ThrowawayAuthority,
) -> None:
    client = authsec_authority.client()
    pages = {None: ["first"], "2": ["second"], "3": ["x" * 1024 * 1024]}
    denied = False

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        tools = [{"name": name} for name in pages[asked["params"].get("cursor")]]
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"tools": tools}}, indent=1).encode()
        return httpx2.Response(401) if denied else httpx2.Response(200, stream=Pieces(body))

    async def run() -> list[Any]:
        nonlocal denied
        async with client.mcp_auth(allowed_origins=ORIGIN)(transport=httpx2.MockTransport(respond)) as http:

            async def listed(cursor: str | None) -> Any:
                parameters = {} if cursor is None else {"cursor": cursor}
                message = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": parameters}
                answer = (await http.post(f"{ORIGIN}/mcp", json=message, headers=ACCEPT)).json()
                assert answer["id"] == 7
                return [tool["name"] for tool in answer["result"]["tools"]] if "result" in answer else "denied"

            assert [await listed(cursor) for cursor in pages] == list(pages.values())
            denied = True
            authsec_authority.delegate()
            return [await listed(cursor) for cursor in pages]

    assert asyncio.run(run()) == [["first"], ["second"], "denied"]
