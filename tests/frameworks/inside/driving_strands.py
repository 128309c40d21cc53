"""Strands. Its trace are the messages of an agent, what a run streams, and spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from evidence import Evidence
from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel

RAISED = r"{denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    return tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @tool(context=True)
    @authsec.delegated
    def fetch_customer(customer_id: str, tool_context: ToolContext, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(tool_context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    model = OpenAIModel(model_id="gpt-4o-mini", stream=False)
    made = [each if hasattr(each, "tool_spec") else tool(each) for each in tools]
    return Agent(model=model, tools=made, callback_handler=None)


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    result = agent(question)
    evidence.add("trace", agent.messages, result)
    return str(result).strip()


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    async for event in agent.stream_async(question):
        evidence.add("trace", event)
    evidence.add("trace", agent.messages)
    return str(event["result"]).strip()
