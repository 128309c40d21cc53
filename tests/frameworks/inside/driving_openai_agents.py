"""The OpenAI Agents SDK. Its trace are the spans that it would send to OpenAI, and what run hooks are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    RunContextWrapper,
    RunHooks,
    Runner,
    function_tool,
    set_default_openai_api,
    set_trace_processors,
    set_tracing_disabled,
)
from agents.tracing import TracingProcessor
from authsec import AuthSecClient
from evidence import Evidence

RAISED = r"^An error occurred while running the tool\. Please try again\.$"


class Kept(TracingProcessor):
    """Takes the place of the exporter."""

    def __init__(self) -> None:
        self.exported: list[Any] = []

    def on_trace_start(self, trace: Any) -> None: ...

    def on_trace_end(self, trace: Any) -> None:
        self.exported.append(trace.export())

    def on_span_start(self, span: Any) -> None: ...

    def on_span_end(self, span: Any) -> None:
        self.exported.append(span.export())

    def shutdown(self) -> None: ...

    def force_flush(self) -> None: ...


kept = Kept()
set_trace_processors([kept])
set_default_openai_api("chat_completions")


class Watching(RunHooks[Any]):
    """Hears what hooks are told about tools."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def on_tool_start(self, *told: Any) -> None:
        self._evidence.add("trace", *told, vars(told[0]))

    async def on_tool_end(self, *told: Any) -> None:
        self._evidence.add("trace", *told, vars(told[0]))


def as_tool(function: Callable[..., Any]) -> Any:
    return function if isinstance(function, FunctionTool) else function_tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(context: RunContextWrapper[Any], customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(context).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    set_tracing_disabled(False)  # the example, in the same process, disables traces
    return Agent(name="assistant", model="gpt-4o-mini", tools=[as_tool(tool) for tool in tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(Runner.run_sync(agent, question, hooks=Watching(evidence)), evidence)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    return _ended(await Runner.run(agent, question, hooks=Watching(evidence)), evidence)


def _ended(result: Any, evidence: Evidence) -> str:
    evidence.add("trace", *kept.exported, result.to_input_list(), result.new_items)
    kept.exported.clear()
    return str(result.final_output)
