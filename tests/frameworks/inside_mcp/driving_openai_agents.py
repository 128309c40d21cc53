"""The OpenAI Agents SDK, which lists the tools before each turn of the model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp

set_default_openai_api("chat_completions")
set_tracing_disabled(True)


@asynccontextmanager
async def asking(mcp_auth: Any, url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """An agent with the server's tools."""
    async with MCPServerStreamableHttp({"url": url, "httpx_client_factory": mcp_auth}) as server:
        agent = Agent(name="assistant", model="gpt-4o-mini", mcp_servers=[server])

        async def ask(question: str) -> str:
            return str((await Runner.run(agent, question)).final_output)

        yield ask
