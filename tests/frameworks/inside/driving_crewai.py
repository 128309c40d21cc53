"""CrewAI. Its trace are the events of its bus, and spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from crewai import LLM, Agent
from crewai.events import (
    LLMCallStartedEvent,
    ToolUsageErrorEvent,
    ToolUsageFinishedEvent,
    ToolUsageStartedEvent,
    crewai_event_bus,
)
from crewai.events.base_events import BaseEvent
from crewai.tools import tool
from evidence import Evidence

RAISED = r"{denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    """The function: CrewAI's own form has a lock, and cannot be copied."""
    return function


in_its_run = None  # it has no such parameter


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent(
        role="Assistant",
        goal="Look customers up.",
        backstory="You work in support.",
        llm=LLM(model="gpt-4o-mini"),
        tools=[tool(each) for each in tools],
    )


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    with _heard(evidence):
        return str(agent.kickoff(question).raw)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    with _heard(evidence):
        return str((await agent.kickoff_async(question)).raw)


@contextmanager
def _heard(evidence: Evidence) -> Iterator[None]:
    """All that its bus is told, with what each event holds."""

    def hear(_: Any, event: BaseEvent) -> None:
        evidence.add("trace", event, vars(event))

    with crewai_event_bus.scoped_handlers():
        for each in (ToolUsageStartedEvent, ToolUsageFinishedEvent, ToolUsageErrorEvent, LLMCallStartedEvent):
            crewai_event_bus.on(each)(hear)
        try:
            yield
        finally:
            crewai_event_bus.flush()
