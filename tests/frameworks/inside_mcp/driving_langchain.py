"""LangChain, with a session that stays open: by default its adapters open one for each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langchain_openai import ChatOpenAI


@asynccontextmanager
async def asking(mcp_auth: Any, url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """An agent with the server's tools."""
    servers = {"crm": {"transport": "streamable_http", "url": url, "httpx_client_factory": mcp_auth}}
    async with MultiServerMCPClient(servers).session("crm") as session:
        model = ChatOpenAI(model="gpt-4o-mini", disable_streaming=True)
        agent = create_agent(model, tools=await load_mcp_tools(session))

        async def ask(question: str) -> str:
            result = await agent.ainvoke({"messages": [{"role": "user", "content": question}]})
            return str(result["messages"][-1].content)

        yield ask
