"""Classic AutoGen: two agents, of which one asks for tools and the other runs them. Its trace is the runtime log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import autogen
from evidence import Evidence

RAISED = r"^Error: {denial}"


def as_tool(function: Callable[..., Any]) -> Any:
    """It has no form of its own."""
    return function


in_its_run = None  # it has no such parameter
METHODS = False  # it takes plain functions only


def agent(tools: Sequence[Callable[..., Any]]) -> Any:
    model = {"model": "gpt-4o-mini", "price": [0, 0]}
    assistant = autogen.AssistantAgent("assistant", llm_config={"config_list": [model], "cache_seed": None})
    user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    for tool in tools:
        autogen.register_function(tool, caller=assistant, executor=user, description="Fetch a customer's record.")
    return assistant, user


def ask(agent: Any, question: str, evidence: Evidence) -> str:
    assistant, user = agent
    log = _start_log()
    answer = user.initiate_chat(assistant, message=question, max_turns=2)
    return _ended(answer, log, evidence)


async def ask_async(agent: Any, question: str, evidence: Evidence) -> str:
    assistant, user = agent
    log = _start_log()
    answer = await user.a_initiate_chat(assistant, message=question, max_turns=2)
    return _ended(answer, log, evidence)


def _start_log() -> Path:
    autogen.runtime_logging.start(logger_type="file", config={"filename": "runtime.log"})
    return Path("autogen_logs", "runtime.log")


def _ended(answer: Any, log: Path, evidence: Evidence) -> str:
    autogen.runtime_logging.stop()
    evidence.add("trace", log.read_text("utf-8"), answer)
    log.unlink()
    return str(answer.chat_history[-1]["content"])
