"""ag2 from version 1. Its trace are the events of its stream, and spans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ag2 import Agent, Context, tool
from ag2.config import OpenAIConfig
from ag2.middleware.builtin.telemetry import TelemetryMiddleware
from ag2.observers import observer
from authsec import AuthSecClient
from evidence import Evidence

RAISED = r"(?s)^Traceback .*{denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    return tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(context: Context, customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return Agent("assistant", config=OpenAIConfig(model="gpt-4o-mini"), tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return asyncio.run(ask_async(agent, question, evidence))


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    def see(event: Any) -> None:
        evidence.add("trace", event)

    reply = await agent.ask(question, middleware=[TelemetryMiddleware()], observers=[observer(callback=see)])
    evidence.add("trace", await reply.context.stream.history.get_events())
    return str(reply.body)
