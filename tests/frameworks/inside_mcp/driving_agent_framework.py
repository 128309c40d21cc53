"""Microsoft's Agent Framework, told to let the model read why a tool failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agent_framework import Agent, MCPStreamableHTTPTool
from agent_framework.openai import OpenAIChatCompletionClient


@asynccontextmanager
async def asking(mcp_auth: Any, url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """An agent with the server's tools."""
    errors = {"include_detailed_errors": True}
    model = OpenAIChatCompletionClient(model="gpt-4o-mini", function_invocation_configuration=errors)
    async with mcp_auth() as http, MCPStreamableHTTPTool("crm", url, http_client=http) as tools:
        agent = Agent(model, "You look customers up.", tools=[tools])

        async def ask(question: str) -> str:
            return str((await agent.run(question)).text)

        yield ask
