"""Run the same steps for both kinds of callers: coroutines wait in another thread, all others in their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


class Caller(Protocol):
    """Calls a function that may block, and returns its result, as `asyncio.to_thread` does."""

    async def __call__(
        self, work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs
    ) -> _Found: ...


async def call_in_place(work: Callable[_Asked, _Found], /, *arguments: _Asked.args, **named: _Asked.kwargs) -> _Found:
    """Call `work` in this thread."""
    return work(*arguments, **named)


def run_in_place(steps: Coroutine[Any, Any, _Found]) -> _Found:
    """Run steps that wait by `call_in_place`, and return their result.

    This function needs no event loop, and does not disturb a running one.
    """
    try:
        steps.send(None)
    except StopIteration as end:  # how a coroutine returns: Python lets no other leave it
        found: _Found = end.value
        return found
    steps.close()
    raise RuntimeError("synchronous steps waited for an event loop")
