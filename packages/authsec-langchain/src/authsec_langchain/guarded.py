"""A tool during one call: it can take tokens, and gives none away.

What a tool returns or raises goes to callbacks, traces, the state, its checkpoints and the model. An API that echoes
the request's headers, or a library whose exception quotes them, would take the token there. So the tool is copied for
the call, and the copy's `_run` and `_arun` are watched: they run before any callback hears of the outcome.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from types import FunctionType, ModuleType, NoneType
from typing import Any, Final

from authsec.outgoing.api_errors import api_refusal
from authsec.wording import plain
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.types import Command

from authsec_langchain.calls import ToolCall, running

_REMOVED: Final = "[delegation token removed]"
_MOST_LOOKED_AT: Final = 10_000  # objects in one result
_HOLD_NOTHING: Final = (NoneType, bool, int, float, complex, type, ModuleType, FunctionType)


def guarded(tool: BaseTool, call: ToolCall) -> BaseTool:
    """A copy of `tool` for this call."""

    @functools.wraps(tool._run)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return without(call.handed_out, tool._run(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is, callbacks are about to be given it
            failure = _safe(error, call)
        raise failure  # here, where the one that may quote the token is its context no more

    @functools.wraps(tool._arun)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return without(call.handed_out, await tool._arun(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as above
            failure = _safe(error, call)
        raise failure

    copied = tool.model_copy()
    vars(copied).update(_run=run, _arun=arun)  # no fields, so pydantic has no way to set them
    return copied


def without(tokens: Collection[str], value: Any) -> Any:
    """`value`, or if it holds one of the tokens, the same with each replaced; objects of other kinds become text."""
    if not _holds(tokens, value, set()):
        return value
    match value:
        case str():
            return _replaced(tokens, value)
        case bytes():
            return _replaced(tokens, value.decode("latin-1")).encode("latin-1")
        case Mapping():
            return {without(tokens, name): without(tokens, member) for name, member in value.items()}
        case list() | tuple() | set() | frozenset():
            members = [without(tokens, member) for member in value]
            return type(value)(*members) if hasattr(value, "_fields") else type(value)(members)
        case BaseMessage():
            return value.model_copy(update=without(tokens, dict(value)))
        case Command():
            fields = {field.name: without(tokens, getattr(value, field.name)) for field in dataclasses.fields(value)}
            return dataclasses.replace(value, **fields)
    return _replaced(tokens, str(value))


def _holds(tokens: Collection[str], value: Any, seen: set[int]) -> bool:
    """Whether one of the tokens is in it, at any depth: a checkpoint writes what an object has, not what it shows."""
    match value:
        case str():
            return any(token in value for token in tokens)
        case bytes():
            return any(token.encode() in value for token in tokens)
    if isinstance(value, _HOLD_NOTHING) or id(value) in seen:
        return False
    seen.add(id(value))
    if len(seen) > _MOST_LOOKED_AT:
        return True  # of what is too large to be searched, the text is
    match value:
        case Mapping():
            return any(_holds(tokens, member, seen) for pair in value.items() for member in pair)
        case list() | tuple() | set() | frozenset():
            return any(_holds(tokens, member, seen) for member in value)
    return _holds(tokens, f"{value!r} {value}", seen) or any(_holds(tokens, member, seen) for member in _members(value))


def _members(value: Any) -> list[Any]:
    """What the object has of its own."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]


def _replaced(tokens: Collection[str], text: str) -> str:
    for token in tokens:
        text = text.replace(token, _REMOVED)
    return text


def _safe(error: Exception, call: ToolCall) -> Exception:
    """The error itself, unless it tells a token; then one that does not, and has no cause that does."""
    refusal = api_refusal(error)
    if refusal is not None and refusal.status == 401:
        for token in call.handed_out:
            call.client.invalidate(token)
    if not any(token in text for text in _texts(error) for token in call.handed_out):
        return error
    text = refusal.text if refusal else plain(_replaced(call.handed_out, str(error)), 300)
    return ToolException(f"{type(error).__name__}: {text}")


def _texts(error: BaseException | None) -> list[str]:
    """What an error, and all that stands behind it, may be printed as."""
    texts: list[str] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), *map(str, getattr(one, "__notes__", ()))]
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return texts
