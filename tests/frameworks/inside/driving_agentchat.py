"""autogen-agentchat. Its trace are the messages that it streams, its event log, and spans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from evidence import Evidence

RAISED = r"^{denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    return FunctionTool(function, "Fetch a customer's record.")


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(customer_id: str, cancellation_token: CancellationToken, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(cancellation_token).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return AssistantAgent(
        "assistant", OpenAIChatCompletionClient(model="gpt-4o-mini"), tools=[*tools], reflect_on_tool_use=True
    )


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return asyncio.run(ask_async(agent, question, evidence))


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    async for event in agent.run_stream(task=question):
        evidence.add("trace", event)
    evidence.add("trace", await agent.save_state())
    await agent._model_client.close()
    return str(event.messages[-1].content)
