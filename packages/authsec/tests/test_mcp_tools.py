"""`ToolActions`: the tools of an MCP server, and the 403 that makes an OAuth client ask for more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import urllib3
from authsec.asgi import BearerAuth
from authsec.errors import ConfigError
from authsec.mcp import ToolActions, identity, protected_by
from authsec.testing.authority import ThrowawayAuthority
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from .serving_asgi import asgi

AUDIENCE = "https://crm.example.com/mcp"
ACCEPT = "application/json, text/event-stream"


class Crm:
    """An MCP server with three tools, once with `guard` and once without."""

    def __init__(self, authority: ThrowawayAuthority) -> None:
        self.authority = authority
        self._verifier = authority.verifier(AUDIENCE)
        self.deleted: list[str] = []

    def app(self, *, guarded: bool) -> BearerAuth:
        server, tools = MCPServer("crm", **protected_by(self._verifier)), ToolActions()

        @server.tool()
        @tools.require("customers:read")
        def show(customer: str) -> str:
            return f"{customer} for {identity().client_id}"

        @server.tool()
        @tools.require("customers:read", "customers:delete")
        async def delete(customer: str) -> str:
            self.deleted.append(customer)
            return "gone"

        @server.tool(name="rename")
        @tools.require("customers:write", tool="rename")
        def rename_customer(customer: str) -> str:
            return f"renamed {customer}"

        app = server.streamable_http_app(json_response=True, stateless_http=True)
        return BearerAuth(tools.guard(app) if guarded else app, verifier=self._verifier)

    def token(self, *actions: str) -> str:
        self.authority.delegate(*actions)
        return self.authority.client().get_token().value


@pytest.fixture
def crm() -> Iterator[Crm]:
    with ThrowawayAuthority() as authority:
        yield Crm(authority)


def calls(tool: str, customer: str = "42") -> bytes:
    parameters = {"name": tool, "arguments": {"customer": customer}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}).encode()


def post(url: str, token: str, body: bytes) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT, "Content-Type": "application/json"}
    return urllib3.request("POST", f"{url}/mcp", headers=headers, body=body, retries=False)


def test_a_call_that_needs_more_gets_a_403_with_what_it_needs_and_what_it_has(crm: Crm) -> None:
    token = crm.token("customers:read", "orders:read")
    with asgi(crm.app(guarded=True)) as url:
        assert post(url, token, calls("show")).status == 200
        for tool, missing in {"delete": "customers:delete", "rename": "customers:write"}.items():
            answer = post(url, token, calls(tool))
            assert (answer.status, answer.json()["missing_actions"]) == (403, [missing])
            challenge = answer.headers["WWW-Authenticate"]
            assert 'error="insufficient_scope"' in challenge
            assert f'scope="customers:read orders:read {missing}"' in challenge
    assert crm.deleted == []


def test_without_guard_the_tool_itself_refuses_and_the_model_reads_why(crm: Crm) -> None:
    token = crm.token("customers:read")
    with asgi(crm.app(guarded=False)) as url:
        answer = post(url, token, calls("delete")).json()["result"]
    assert answer["isError"]
    assert "does not allow customers:delete" in answer["content"][0]["text"]
    assert crm.deleted == []


@pytest.mark.parametrize(
    "spelling",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"delete","arguments":{"customer":"1"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"show","name":"delete","arguments":{"customer":"1"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"dele\\u0074e","arguments":{"customer":"1"}}}',
        b"[" + calls("delete") + b"]",
        b" " * 5 * 1024 * 1024 + calls("delete"),
        b"[" * 100_000,
        b'{"method": "tools/call", "params": []}',
        b'{"method": "tools/call", "params": {"name": ["delete"]}}',
        b"\xff",
        b"",
    ],
    ids=lambda body: body.strip()[:20].decode("latin-1") or "empty",
)
def test_no_spelling_of_a_call_gets_around_the_tool(crm: Crm, spelling: bytes) -> None:
    token = crm.token("customers:read")
    with asgi(crm.app(guarded=True)) as url:
        answer = post(url, token, spelling)
        assert answer.status < 500
        assert post(url, token, calls("show")).status == 200  # the server goes on
    assert crm.deleted == []


def test_a_client_of_the_package_sees_the_parameters_of_a_tool(crm: Crm) -> None:
    token = crm.token("customers:read", "customers:delete")

    async def used(url: str) -> tuple[Any, Any]:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"})
        async with http, Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
            return await client.list_tools(), await client.call_tool("delete", {"customer": "42"})

    with asgi(crm.app(guarded=True)) as url:
        listed, deleted = asyncio.run(used(url))
    shown = [(tool.name, [*tool.input_schema["properties"]]) for tool in listed.tools]
    assert shown == [(name, ["customer"]) for name in ("show", "delete", "rename")]
    assert deleted.content[0].text == "gone"
    assert crm.deleted == ["42"]


def test_mistakes_are_told_at_the_start(crm: Crm) -> None:
    with pytest.raises(ValueError, match="at least one action"):
        ToolActions().require()
    with pytest.raises(ConfigError, match="list of actions"):
        BearerAuth(crm.app(guarded=True), verifier=crm.authority.verifier(AUDIENCE), scope="customers:read")
