"""Run the same code for two kinds of callers. For coroutines, blocking calls run in another thread.

For all other callers, blocking calls run in the caller's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


class Caller(Protocol):
    """A function that calls another function, which may block, and returns its result. Example: `asyncio.to_thread`."""

    async def __call__(
        self, work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs
    ) -> _Found: ...


async def call_in_place(work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs) -> _Found:
    """Call `work` in this thread, and return its result."""
    return work(*arguments, **named)


def run_in_place(steps: Coroutine[Any, Any, _Found]) -> _Found:
    """Run a coroutine that awaits nothing except `call_in_place`, and return its result.

    The function needs no event loop, and does not disturb a running event loop.
    """
    try:
        steps.send(None)
    except StopIteration as end:  # A coroutine returns its result by StopIteration.
        found: _Found = end.value
        return found
    steps.close()
    raise RuntimeError("synchronous steps waited for an event loop")
