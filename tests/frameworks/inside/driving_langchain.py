"""LangChain's agents, which run on LangGraph. Their trace is what callbacks are told, and the tree of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient
from evidence import Evidence
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_openai import ChatOpenAI

RAISED = None  # the run ends


class Watching(BaseCallbackHandler):
    """Hears all that a callback can hear."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence


def _hearing(name: str) -> Callable[..., None]:
    def hear(self: Watching, *args: Any, **kwargs: Any) -> None:
        self.evidence.add("trace", (name, args, kwargs))

    return hear


for _name in [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]:
    setattr(Watching, _name, _hearing(_name))


def as_tool(function: Callable[..., Any]) -> Any:
    return tool(function)


def in_its_run(authsec: AuthSecClient) -> Any:
    """A tool that is told of the run it is part of, by a parameter that the framework fills."""

    @authsec.delegated
    def fetch_customer(customer_id: str, runtime: ToolRuntime, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {type(runtime).__name__} {len(delegation_token) > 100}"

    return fetch_customer


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    return create_agent(ChatOpenAI(model="gpt-4o-mini", disable_streaming=True), tools=[*tools])


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    runs = RunCollectorCallbackHandler()
    try:
        result = agent.invoke(_asked(question), config=_config(runs, evidence))
    finally:
        evidence.add("trace", *(run.model_dump_json() for run in runs.traced_runs))
    return str(result["messages"][-1].content)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    runs = RunCollectorCallbackHandler()
    try:
        async for event in agent.astream_events(_asked(question), config=_config(runs, evidence), version="v2"):
            evidence.add("trace", event)
    finally:
        evidence.add("trace", *(run.model_dump_json() for run in runs.traced_runs))
    return str(event["data"]["output"]["messages"][-1].content)


def _asked(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}]}


def _config(runs: RunCollectorCallbackHandler, evidence: Evidence) -> dict[str, Any]:
    return {"callbacks": [Watching(evidence), runs]}
