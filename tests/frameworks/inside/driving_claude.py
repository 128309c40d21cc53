"""The Claude Agent SDK. A scripted Claude Code takes the place of the real one, by the SDK's own `Transport`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, Transport, create_sdk_mcp_server, query


class ScriptedClaudeCode(Transport):
    """Lists the tools of the server `crm`, calls one, and ends. `shown` and `read` are what a model would see."""

    def __init__(self, tool: str, arguments: dict[str, Any]) -> None:
        self.shown: list[dict[str, Any]] = []
        self.read: dict[str, Any] = {}
        self._call = {"name": tool, "arguments": arguments}
        self._written: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def connect(self) -> None: ...

    async def write(self, data: str) -> None:
        await self._written.put(json.loads(data))

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        begin = await self._written.get()
        yield _control({"subtype": "success", "request_id": begin["request_id"], "response": {}}, "response")
        client = {"name": "claude-code", "version": "1.0"}
        yield self._asked("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        await self._answer()
        yield self._asked("tools/list", {})
        self.shown = (await self._answer())["tools"]
        yield self._asked("tools/call", self._call)
        self.read = await self._answer()
        numbers = {"duration_ms": 1, "duration_api_ms": 1, "num_turns": 1}
        yield {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "session_id": "s",
            "result": "Done.",
            **numbers,
        }

    def _asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = {"subtype": "mcp_message", "server_name": "crm", "message": message}
        return {**_control(request, "request"), "request_id": method}

    async def _answer(self) -> dict[str, Any]:
        while (written := await self._written.get())["type"] != "control_response":
            pass  # the person's question
        result: dict[str, Any] = written["response"]["response"]["mcp_response"]["result"]
        return result

    async def close(self) -> None: ...

    def is_ready(self) -> bool:
        return True

    async def end_input(self) -> None: ...


def _control(what: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"type": f"control_{kind}", kind: what}


def options_with(tool: Any) -> ClaudeAgentOptions:
    return ClaudeAgentOptions(mcp_servers={"crm": create_sdk_mcp_server("crm", tools=[tool])})


def ask(options: ClaudeAgentOptions, question: str) -> ScriptedClaudeCode:
    """What Claude Code was told, whose model calls `fetch_customer`."""

    async def run() -> ScriptedClaudeCode:
        scripted = ScriptedClaudeCode("fetch_customer", {"customer_id": "42"})
        async for _ in query(prompt=question, options=options, transport=scripted):
            pass
        return scripted

    return asyncio.run(run())
