"""A mounted MCP server, by the lines of docs/protecting-apis.md."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from authsec import TokenVerifier
from authsec.asgi import MetadataEndpoint
from authsec.mcp import BearerAuth, ToolActions, protected_by
from fastapi import FastAPI
from mcp.server import MCPServer
from starlette.testclient import TestClient

from .fake_keys import ISSUER, FakeClock, key_set, token

PAGE = Path(__file__).resolve().parents[3] / "docs" / "protecting-apis.md"
AUDIENCE = "https://crm.example.com/desk/mcp"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}},
}


def test_the_outer_application_starts_the_sessions_of_a_mounted_mcp_server() -> None:
    verifier = TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), clock=FakeClock().clock(), revocations="until_exp")
    names: dict[str, Any] = {
        "asynccontextmanager": asynccontextmanager,
        "BearerAuth": BearerAuth,
        "FastAPI": FastAPI,
        "MetadataEndpoint": MetadataEndpoint,
        "desk_verifier": verifier,
        "server": MCPServer("desk", **protected_by(verifier)),
        "tools": ToolActions(),
    }
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = [each for each in blocks if "session_manager" in each]
    exec(block, names)  # noqa: S102 - the page's own code
    headers = {"Authorization": f"Bearer {token(aud=AUDIENCE)}", "Accept": "application/json, text/event-stream"}
    with TestClient(names["app"], base_url="http://127.0.0.1:8000") as client:
        assert client.get("/.well-known/oauth-protected-resource/desk/mcp").json()["resource"] == AUDIENCE
        assert client.post("/desk/mcp", json=INITIALIZE).status_code == 401
        answer = client.post("/desk/mcp", json=INITIALIZE, headers=headers)
        assert answer.status_code == 200, answer.text
        assert '"serverInfo"' in answer.text
