"""How one course of steps waits: in a thread of its own for coroutines, and in place for everybody else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


class Waiting(Protocol):
    """Calls what may take a while, and has what it gives; as `asyncio.to_thread` does."""

    async def __call__(
        self, work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs
    ) -> _Found: ...


async def here(work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs) -> _Found:
    """Wait in this thread."""
    return work(*arguments, **named)


def outcome_of(steps: Coroutine[Any, Any, _Found]) -> _Found:
    """Take steps that wait `here` to their end. No event loop is needed, nor disturbed where one runs."""
    try:
        steps.send(None)
    except StopIteration as end:  # how a coroutine returns: Python lets no other leave it
        found: _Found = end.value
        return found
    steps.close()
    raise RuntimeError("steps that are taken here waited for an event loop")
