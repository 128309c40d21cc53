"""The MCP server that the tools are of: behind a real verifier, on a real socket, with `mcp` 1 or 2."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from authsec import TokenVerifier
from authsec.mcp import BearerAuth, protected_by, require

try:
    from mcp.server import MCPServer
except ImportError:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer

AUDIENCE = "https://crm.example.com/mcp"


@dataclass(slots=True, kw_only=True)
class CrmServer:
    """Its only tool answers with the header Authorization that came. `after_call` is done once, before it answers."""

    origin: str = ""
    tokens: list[str] = field(default_factory=list)
    after_call: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"


@contextmanager
def crm_server(verifier: TokenVerifier) -> Iterator[CrmServer]:
    """Runs until the end of the block."""
    running = CrmServer()
    server = MCPServer("crm", **protected_by(verifier))

    @server.tool()
    def fetch_customer(customer_id: str) -> str:
        """Fetch a customer's record."""
        require("customers:read")
        done, running.after_call = running.after_call, None
        if done is not None:
            done()
        return f"Customer {customer_id} is Ada Lovelace, asked for by Bearer {running.tokens[-1]}"

    app = BearerAuth(server.streamable_http_app(), verifier=verifier)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        sent = dict(scope.get("headers", ())).get(b"authorization")
        if sent is not None:
            running.tokens.append(sent.decode().removeprefix("Bearer "))
        await app(scope, receive, send)

    serving = uvicorn.Server(uvicorn.Config(watched, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        time.sleep(0.005)
    running.origin = f"http://127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        serving.should_exit = True
        thread.join()
