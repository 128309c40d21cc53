"""A token in what LangChain tells of a run.

Whatever a tool is given as an argument, or a run as metadata, goes to every callback, tracer and event stream; what a
tool returns goes into the state, its checkpoints and the conversation; and an exception's text goes to all of them.
One published client put the token into the run's metadata, so that it stood in every trace. Here the tool, besides,
gives its token away: the API behind it echoes the request's headers, as debug endpoints do. No token may arrive.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from authsec.testing import ThrowawayAuthority
from authsec_langchain import AuthsecCallbackHandler, AuthsecClient, adelegation_token, delegation_token
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_debug
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException, tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from langsmith import Client, tracing_context
from long_runs import some_of

ASK = {"messages": [("user", "Get customer 42.")]}
CONFIG = {"configurable": {"thread_id": "1"}}


@dataclass
class Answer:
    """As HTTP libraries keep one, with the request that it answers; checkpoints write what it has."""

    sent: dict[str, str] = field(repr=False)


# What a tool that gives its token away makes of it.
RETURNED: dict[str, Callable[[str], Any]] = {
    "text": lambda token: f"Authorization: Bearer {token}",
    "a dict": lambda token: {"headers": [{"Authorization": f"Bearer {token}"}], f"by {token}": (1, None, token)},
    "bytes": lambda token: token.encode(),
    "an object": lambda token: type("Response", (), {"__repr__": lambda _: f"<Response {token}>"})(),
    "an object that hides it": lambda token: Answer(sent={"Authorization": token}),
    "an artifact": lambda token: ToolMessage(
        "fetched", tool_call_id="call-fetch_customer", artifact=Answer(sent={"Authorization": token})
    ),
    "a message": lambda token: ToolMessage(token, tool_call_id="call-fetch_customer", artifact={"sent": token}),
    "a command": lambda token: Command(
        update={"messages": [ToolMessage(f"got {token}", tool_call_id="call-fetch_customer")]}
    ),
}
RAISED: dict[str, Callable[[str], Exception]] = {
    "its text": lambda token: ValueError(f"unexpected: {token}"),
    "LangChain's own": lambda token: ToolException(f"unexpected: {token}"),
    "its arguments": lambda token: OSError(5, "odd", f"/tmp/{token}"),
    "a cause": lambda token: caused(RuntimeError("odd"), ValueError(token)),
    "a group": lambda token: ExceptionGroup("odd", [ValueError(token)]),
}


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


class Everything(BaseCallbackHandler):
    """Every event, with everything that it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *args, **how: self.told.append(f"{name} {args} {how} {[vars(a) for a in args if vars_of(a)]}")


def vars_of(thing: Any) -> bool:
    return hasattr(thing, "__dict__")


class Tracer(BaseTracer):
    """As LangSmith's, it keeps whole runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Any) -> None:
        self.runs.append(run.model_dump_json(fallback=repr))


class Session:
    """What LangSmith's client sends its requests by; they end here, and are answered 200."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def request(self, *args: Any, **how: Any) -> requests.Response:
        self.sent.append(f"{args} {how}")
        response = requests.Response()
        response.status_code = 200
        return response

    def mount(self, *_: Any) -> None: ...

    def close(self) -> None: ...


def told_of(run: Callable[[Any], Any], agent: Any, saver: InMemorySaver, capsys: Any, caplog: Any) -> dict[str, str]:
    """All that is told of one run of the agent, by where."""
    everything, tracer, session = Everything(), Tracer(), Session()
    # What the client needs of a session and of the server's answer about itself, no more.
    ours: dict[str, Any] = {"session": session, "info": {}}
    smith = Client("https://smith.invalid", api_key="k", auto_batch_tracing=False, **ours)
    caplog.set_level(logging.DEBUG)
    set_debug(True)
    failure = ""
    config: Any = CONFIG  # to LangGraph a mapping of its own type
    try:
        with tracing_context(enabled=True, client=smith):
            seen = run(agent.with_config(callbacks=[everything, tracer], **CONFIG))
    except Exception as error:  # noqa: BLE001 - whatever reaches the program that runs the agent
        seen, failure = None, "".join(traceback.format_exception(error)) + repr(list(chained(error)))
    finally:
        set_debug(False)
    assert everything.told
    assert tracer.runs
    assert any("fetch_customer" in sent for sent in session.sent), "LangSmith's own tracer was not there"
    return {
        "callbacks": "\n".join(everything.told),
        "tracer": "\n".join(tracer.runs),
        "langsmith": "\n".join(session.sent),
        "streams": repr(seen),
        "checkpoints": repr([saver.storage, saver.writes, saver.blobs]) + repr(list(saver.list(config))),
        "stdout": "".join(capsys.readouterr()),
        "log": caplog.text,
        "exception": failure,
    }


def chained(error: BaseException | None) -> Any:
    while error is not None:
        yield error, error.args, getattr(error, "__notes__", None)
        error = error.__cause__ or error.__context__


def streamed(agent: Any) -> Any:
    modes = ["values", "updates", "debug", "messages", "custom", "tasks", "checkpoints"]
    return list(agent.stream(ASK, stream_mode=modes))


def events(agent: Any) -> Any:
    async def collected() -> list[Any]:
        return [event async for event in agent.astream_events(ASK, version="v2")]

    return asyncio.run(collected())


def tools(outcome: Callable[[str], Any]) -> tuple[Any, Any]:
    @tool
    def fetch_customer(customer_id: str) -> Any:
        """Fetch a customer's record."""
        got = outcome(delegation_token())
        if isinstance(got, Exception):
            raise got
        return got

    @tool("fetch_customer")
    async def afetch_customer(customer_id: str) -> Any:
        """Fetch a customer's record."""
        got = outcome(await adelegation_token())
        if isinstance(got, Exception):
            raise got
        return got

    return fetch_customer, afetch_customer


both_ways = pytest.mark.parametrize(("run", "kind"), [(streamed, 0), (events, 1)], ids=["stream", "astream_events"])


@both_ways
@pytest.mark.parametrize("way", some_of([*RETURNED, *RAISED]))
def test_no_token_is_told(
    way: str, run: Any, kind: int, make_agent: Any, client: AuthsecClient, capsys: Any, caplog: Any
) -> None:
    outcome = RETURNED.get(way) or RAISED[way]
    saver = InMemorySaver()
    agent, model = make_agent(tools(outcome)[kind], graph={"checkpointer": saver})
    told = told_of(run, agent, saver, capsys, caplog)
    told["model"] = str([model.read, model.shown])
    token = client.get_token("customers:read").value
    signature = token.rpartition(".")[2]
    assert {where for where, text in told.items() if signature in text} == set()
    was_seen = ("[delegation token removed]", "ToolException", "Answer()")
    assert any(sign in told["callbacks"] for sign in was_seen), "the tool did not give its token away"
    assert bool(told["exception"]) == (way in RAISED)


@both_ways
def test_no_token_is_told_that_the_tool_takes_by_itself(
    run: Any, kind: int, make_agent: Any, client: AuthsecClient, capsys: Any, caplog: Any
) -> None:
    """As `requests_auth` does: by another way than `delegation_token`, for other actions."""
    saver = InMemorySaver()
    made = tools(lambda _: {"sent": client.get_token("customers:delete").value})[kind]
    agent, _ = make_agent(made, graph={"checkpointer": saver})
    told = told_of(run, agent, saver, capsys, caplog)
    signature = client.get_token("customers:delete").value.rpartition(".")[2]
    assert {where for where, text in told.items() if signature in text} == set()
    assert "[delegation token removed]" in told["callbacks"]


def test_the_handler_tells_nobody(client: AuthsecClient, authsec_authority: ThrowawayAuthority) -> None:
    """No echo here: what is looked for is what the handler itself adds to a run."""

    @tool
    def fetch_customer(customer_id: str) -> str:
        """Fetch a customer's record."""
        return str(len(delegation_token()))

    everything, tracer = Everything(), Tracer()
    metadata: dict[str, Any] = {}
    config: Any = {"callbacks": [everything, AuthsecCallbackHandler(client), tracer], "metadata": metadata, "tags": []}
    fetch_customer.invoke({"customer_id": "42"}, config)
    signature = client.get_delegation_token().rpartition(".")[2]
    assert signature not in "".join([*everything.told, *tracer.runs, repr(config)])
    assert len(everything.told) == 2
    assert metadata == {}
