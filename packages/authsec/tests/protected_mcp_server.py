"""An MCP server behind our verifier, on a real socket, that tells what it was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from authsec import TokenVerifier
from authsec.mcp import BearerAuth, protected_by, require
from mcp.server import MCPServer

from .serving_asgi import asgi

AUDIENCE = "https://crm.example.com/mcp"


@dataclass
class ProtectedMcpServer:
    """`show_customer` answers with the header Authorization that came last.

    `seen` are the methods, of HTTP or MCP, and the tokens that came with them. Those in `forbidden` are answered with
    403.
    """

    origin: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def tokens(self) -> list[str]:
        return [token for _, token in self.seen]


@contextmanager
def protected_mcp_server(verifier: TokenVerifier, *, in_json: bool) -> Iterator[ProtectedMcpServer]:
    """Runs until the end of the block; answers in JSON, or as a stream of events."""
    server = MCPServer("crm", **protected_by(verifier))
    running = ProtectedMcpServer()

    @server.tool()
    def show_customer(customer: str) -> str:
        require("customers:read")
        return f"Customer {customer} is Ada, asked for by Bearer {running.tokens[-1]}"

    app = BearerAuth(server.streamable_http_app(json_response=in_json), verifier=verifier)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        message = await receive()
        method = json.loads(message["body"])["method"] if message.get("body") else scope["method"]
        running.seen.append((method, dict(scope["headers"]).get(b"authorization", b"").decode().partition(" ")[2]))
        if method in running.forbidden:
            challenge = b'Bearer error="insufficient_scope", error_description="Not on Sundays."'
            await send({"type": "http.response.start", "status": 403, "headers": [(b"www-authenticate", challenge)]})
            return await send({"type": "http.response.body"})

        async def receive_again() -> Any:
            nonlocal message
            first, message = message, None
            return first if first is not None else await receive()

        return await app(scope, receive_again, send)

    with asgi(watched) as running.origin:
        yield running
