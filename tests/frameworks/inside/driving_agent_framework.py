"""Microsoft's Agent Framework. Its trace are spans and events, with the content that it calls sensitive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agent_framework import Agent, FunctionInvocationContext, FunctionMiddleware, tool
from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatCompletionClient
from authsec import AuthSecClient
from evidence import Evidence

RAISED = r"^Error: Function failed\.$"

enable_instrumentation(enable_sensitive_data=True, enable_message_events=True)


class Watching(FunctionMiddleware):
    """Sees what any middleware of others would."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        self._evidence.add("trace", vars(context))


def as_tool(function: Callable[..., Any]) -> Any:
    return tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(customer_id: str, context: FunctionInvocationContext, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent(OpenAIChatCompletionClient(model="gpt-4o-mini"), "You look customers up.", tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return asyncio.run(ask_async(agent, question, evidence))


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    answer = await agent.run(question, middleware=[Watching(evidence)])
    evidence.add("trace", answer.to_json())
    return str(answer.text)
