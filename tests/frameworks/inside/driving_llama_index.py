"""LlamaIndex. Its trace are the events that a run streams, and what its callbacks are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from evidence import Evidence
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.llms.openai_like import OpenAILike

RAISED = r"{denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    return FunctionTool.from_defaults(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(context: Context, customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    model = OpenAILike(
        model="gpt-4o-mini",
        api_base=os.environ["OPENAI_BASE_URL"],
        is_chat_model=True,
        is_function_calling_model=True,
    )
    return FunctionAgent(llm=model, tools=[*tools], streaming=False)


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return asyncio.run(ask_async(agent, question, evidence))


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    handler = agent.run(question)
    async for event in handler.stream_events():
        evidence.add("trace", event)
    return str(await handler)
