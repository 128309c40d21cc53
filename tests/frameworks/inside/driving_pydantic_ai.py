"""pydantic-ai. Its trace are spans with all content, and the messages of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from evidence import Evidence
from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.models.instrumented import InstrumentationSettings

RAISED = None  # the run ends

Agent.instrument_all(InstrumentationSettings(include_content=True))


def as_tool(function: Callable[..., Any]) -> Any:
    return Tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(context: RunContext[None], customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent("openai-chat:gpt-4o-mini", tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(agent.run_sync(question), evidence)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(await agent.run(question), evidence)


def _ended(result: Any, evidence: Evidence) -> str:
    evidence.add("trace", result.all_messages_json().decode(), result)
    return str(result.output)
