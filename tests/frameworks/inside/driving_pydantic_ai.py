"""pydantic-ai. Its trace are spans with all content, and the messages of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evidence import Evidence
from pydantic_ai import Agent, Tool
from pydantic_ai.models.instrumented import InstrumentationSettings

RAISED = None  # the run ends

Agent.instrument_all(InstrumentationSettings(include_content=True))


def as_tool(function: Callable[..., Any]) -> Any:
    return Tool(function)


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent("openai-chat:gpt-4o-mini", tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(agent.run_sync(question), evidence)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(await agent.run(question), evidence)


def _ended(result: Any, evidence: Evidence) -> str:
    evidence.add("trace", result.all_messages_json().decode(), result)
    return str(result.output)
