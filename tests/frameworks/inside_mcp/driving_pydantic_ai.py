"""pydantic-ai."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset


@asynccontextmanager
async def asking(mcp_auth: Any, url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """An agent with the server's tools."""
    async with (
        mcp_auth() as http,
        Agent("openai-chat:gpt-4o-mini", toolsets=[MCPToolset(url, http_client=http)]) as agent,
    ):

        async def ask(question: str) -> str:
            return str((await agent.run(question)).output)

        yield ask
