"""Agno."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.models.openai import OpenAIChat


def ask(function: Callable[..., Any], question: str) -> str:
    return str(Agent(model=OpenAIChat(id="gpt-4o-mini"), tools=[function], telemetry=False).run(question).content)
