"""Which framework called a tool, and which shape of answer it takes for text.

No argument says so. The frames of the call do, and where AnyIO runs the tool in a thread, the coroutines that wait for
that thread. Only a denial asks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_MCP_TOOLS: Final = {"mcp.server.mcpserver.tools.base", "mcp.server.fastmcp.tools.base"}  # of mcp 2, and of 1
_LANGCHAIN_TOOLS: Final = {
    "langchain_core.tools.base",
    "langchain_core.tools.structured",
    "langchain_core.tools.simple",
}
_MOST: Final = 500  # frames


def answer_of_tool(text: str) -> Any:
    """`text` as the framework wants it from a tool; an exception, if the framework wants it raised."""
    for frame in _frames():
        module = frame.f_globals.get("__name__")
        if module in _MCP_TOOLS:  # its error is the one way to an answer that is none of the tool's own type
            return frame.f_globals["ToolError"](text)
        if module == "claude_agent_sdk" and frame.f_code.co_name == "run_tool":
            return {"content": [{"type": "text", "text": text}], "is_error": True}
        if module in _LANGCHAIN_TOOLS and "self" in frame.f_locals:
            wants_pair = getattr(frame.f_locals["self"], "response_format", "") == "content_and_artifact"
            return (text, None) if wants_pair else text
    return text


def _frames() -> Iterator[FrameType]:
    """From the inside to the outside."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST):
        if frame is None:
            return
        yield frame
        if frame.f_globals.get("__name__") == "anyio._backends._asyncio" and "cancel_scope" in frame.f_locals:
            yield from _frames_of_task(getattr(frame.f_locals["cancel_scope"], "_host_task", None))
        frame = frame.f_back


def _frames_of_task(task: Any) -> Iterator[FrameType]:
    """Of the coroutines of a task that waits, from the inside to the outside."""
    found: list[FrameType] = []
    waiting = task.get_coro() if task is not None else None
    while waiting is not None and len(found) < _MOST:
        frame = getattr(waiting, "cr_frame", None)
        if frame is not None:
            found.append(frame)
        waiting = getattr(waiting, "cr_await", None)
    yield from reversed(found)
