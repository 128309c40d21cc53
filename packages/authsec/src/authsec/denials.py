"""A denial by the authority or an API, as a tool's result: the text for the model, in its framework's form.

No argument names the framework: the stack frames of the call show it. AnyIO may run the tool in a thread.
Then the frames of the coroutines that wait for this thread are searched too. The search happens only after a
denial.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any, Final

from authsec.cache import forget
from authsec.errors import AuthenticationError, AuthSecError, DelegationDenied
from authsec.issued_tokens import live_tokens
from authsec.outgoing.api_errors import ApiRefusal, api_refusal, error_chain
from authsec.redaction import redacted

_log = logging.getLogger("authsec")

_UNAUTHORIZED: Final = 401
_DENIED: Final = {_UNAUTHORIZED, 403}
_MCP_TOOLS: Final = {"mcp.server.mcpserver.tools.base", "mcp.server.fastmcp.tools.base"}  # in mcp 2 and in mcp 1
_LANGCHAIN_TOOLS: Final = {
    "langchain_core.tools.base",
    "langchain_core.tools.structured",
    "langchain_core.tools.simple",
}
_MOST: Final = 500  # the number of frames to search


def denial_text(error: Exception, held: Collection[str]) -> str | None:
    """Return the text of a denial for a model. Return None for any other error, which the caller then raises.

    `held` contains the tokens of the call. The function finds a denial in three places: the error itself, its
    cause (`raise … from`), or all members of an exception group. A new error that was raised during the handling
    of a denial is not a denial.

    A problem that only the operator can fix is logged. The text for the model names no settings and no files.
    """
    forget_denied(error, held)
    texts = _denials(error, held)
    return "\n".join(dict.fromkeys(texts)) or None


def tool_result(text: str) -> Any:
    """Return `text` in the form that the framework expects from a tool. The result may be an exception to raise."""
    for frame in _frames():
        module = frame.f_globals.get("__name__")
        if module in _MCP_TOOLS:
            # `mcp` checks the type of a tool's result. A text of another type is only possible as a `ToolError`.
            return frame.f_globals["ToolError"](text)
        if module == "claude_agent_sdk" and frame.f_code.co_name == "run_tool":
            return {"content": [{"type": "text", "text": text}], "is_error": True}
        if module in _LANGCHAIN_TOOLS and "self" in frame.f_locals:
            wants_pair = getattr(frame.f_locals["self"], "response_format", "") == "content_and_artifact"
            return (text, None) if wants_pair else text
    return text


def api_denial(thing: object, held: Collection[str]) -> ApiRefusal | None:
    """Return the API's refusal if `thing` is a response 401 or 403 to a token of this process; otherwise None.

    `thing` is what a tool raised or returned. After a 401 the cache drops the token. So the next call gets
    another token, or the authority's refusal. If the request is not available, the function assumes that it
    carried a token in `held`. A refusal of a request without a token of this process is ignored.
    """
    refusal = None if isinstance(thing, AuthSecError) else api_refusal(thing)
    if refusal is None or refusal.status not in _DENIED:
        return None
    sent = held if refusal.sent is None else {refusal.sent} & {*held, *live_tokens()}
    if refusal.status == _UNAUTHORIZED:
        forget(sent)
    return refusal if sent else None


def forget_denied(error: Exception, held: Collection[str]) -> None:
    """Drop each token that an API answered with 401. Search the error, its groups, its causes and its contexts."""
    for one in error_chain(error):
        api_denial(one, held)


def _denials(error: BaseException | None, held: Collection[str]) -> list[str]:
    """Return the text of each denial in the error. The list is empty if the error also has a part that is no denial."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = _denial(error, held)
        if text is not None:
            return [text]
        if isinstance(error, BaseExceptionGroup):
            members = [_denials(member, held) for member in error.exceptions]
            return [text for texts in members for text in texts] if all(members) else []
        error = error.__cause__
    return []


def _denial(error: BaseException, held: Collection[str]) -> str | None:
    if isinstance(error, AuthenticationError | DelegationDenied):
        if error.is_of_the_setup:
            _log.warning("a tool gets no token (%s): %s", error.reason, redacted(held, str(error)))
        return str(redacted(held, error.for_model))
    refusal = api_denial(error, held)
    return None if refusal is None else str(redacted(held, refusal.text))


def _frames() -> Iterator[FrameType]:
    """Yield the stack frames of this call, innermost first.

    In a thread of AnyIO, also yield the frames of the task that waits for the thread.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST):
        if frame is None:
            return
        yield frame
        if frame.f_globals.get("__name__") == "anyio._backends._asyncio" and "cancel_scope" in frame.f_locals:
            yield from _frames_of_task(getattr(frame.f_locals["cancel_scope"], "_host_task", None))
        frame = frame.f_back


def _frames_of_task(task: Any) -> Iterator[FrameType]:
    """Yield the frames of a waiting task's coroutines, innermost first."""
    found: list[FrameType] = []
    waiting = task.get_coro() if task is not None else None
    while waiting is not None and len(found) < _MOST:
        frame = getattr(waiting, "cr_frame", None)
        if frame is not None:
            found.append(frame)
        waiting = getattr(waiting, "cr_await", None)
    yield from reversed(found)
