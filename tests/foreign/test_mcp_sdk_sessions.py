"""Both versions of the package `mcp`, as client and as server, with the HTTP client of `mcp_auth`.

packages/authsec/tests/test_mcp_auth.py tries version 2 in depth.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..environments import python_with, variables
from .catalogue import MCP_1, MCP_2, MCP_AUTH, PYTHON_PACKAGES, Client, each
from .recording import RecordVerdict

SDK = Path(__file__).resolve().parents[2] / "packages" / "authsec" / "src"

# Prints what the tool `show` answered before a denial, while denied, and after a new grant; and what else it found.
PROGRAM = """
import asyncio, json, logging, threading, time
import uvicorn
from authsec.asgi import BearerAuth
from authsec.mcp import protected_by, require
from authsec.testing.authority import ThrowawayAuthority
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
try:
    from mcp import MCPError
    from mcp.server import MCPServer
except ImportError:  # version 1
    from mcp import McpError as MCPError
    from mcp.server.fastmcp import FastMCP as MCPServer

authority = ThrowawayAuthority()
authority.delegate("customers:read")
verifier = authority.verifier("https://crm.example.com/mcp")
server = MCPServer("crm", **protected_by(verifier))
logging.disable()
received = []

@server.tool()
def show() -> str:
    require("customers:read")
    return received[-1]

app = BearerAuth(server.streamable_http_app(), verifier=verifier)

async def watched(scope, receive, send):
    received.append(dict(scope.get("headers", ())).get(b"authorization", b"").decode())
    await app(scope, receive, send)

served = uvicorn.Server(uvicorn.Config(watched, port=0, log_level="critical"))
threading.Thread(target=served.run, daemon=True).start()
while not served.started:
    time.sleep(0.005)
origin = f"http://127.0.0.1:{served.servers[0].sockets[0].getsockname()[1]}"
agent = authority.client()

async def play():
    async with (
        agent.mcp_auth(allowed_origins=origin)() as http,
        streamable_http_client(f"{origin}/mcp", http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()

        async def show():
            result = await session.call_tool("show", {})
            failed = result.isError if hasattr(result, "isError") else result.is_error
            return [failed, result.content[0].text]

        told = [await show()]
        authority.delegate()
        authority.revoke(agent.get_token())
        told.append(await show())
        told.append([tool.name for tool in (await session.list_tools()).tools])
        try:
            await session.send_ping()
        except MCPError as error:
            told.append(str(error))
        authority.delegate("customers:read")
        return [*told, await show(), type(http).__mro__[2].__module__]

print(json.dumps(asyncio.run(play())))
"""


@pytest.mark.soak  # test_mcp_before_version_2.py has denials
@pytest.mark.parametrize("client", each([MCP_1, MCP_2], rarely=[MCP_1]))
def test_a_session_outlasts_a_denial(client: Client, tmp_path: Path, record_verdict: RecordVerdict) -> None:
    python = python_with(PYTHON_PACKAGES) if client is MCP_1 else Path(sys.executable)
    done = subprocess.run(
        [python, "-c", PROGRAM],
        cwd=tmp_path,
        env=variables(SDK),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    shown, denied, tools, ping, again, library = json.loads(done.stdout)
    assert shown == again == [False, "Bearer [delegation token removed]"]
    assert denied[0]
    assert denied[1].startswith("Nothing is currently delegated to this agent")
    assert tools == ["show"]
    assert ping.startswith("Nothing is currently delegated to this agent")
    assert library == ("httpx" if client is MCP_1 else "httpx2")
    record_verdict(client, MCP_AUTH, "the session outlasts a denial")
