"""Google's Agent Development Kit. Its trace are the events of a run, the session, and spans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from evidence import Evidence
from google.adk.agents import Agent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.adk.tools import FunctionTool, ToolContext

RAISED = None  # the run ends


def as_tool(function: Callable[..., Any]) -> Any:
    return FunctionTool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(customer_id: str, tool_context: ToolContext, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(tool_context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent(name="assistant", model=LiteLlm(model="openai/gpt-4o-mini"), tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return asyncio.run(ask_async(agent, question, evidence))


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    async with InMemoryRunner(agent=agent) as runner:
        events = await runner.run_debug(question, quiet=True)
        sessions = await runner.session_service.list_sessions(app_name=runner.app_name)
    evidence.add("trace", *(event.model_dump_json() for event in events), sessions)
    return str(events[-1].content.parts[0].text)
