"""A tool during one call: it can take tokens, and gives none away.

What a tool returns or raises goes to callbacks, traces, the state, its checkpoints and the model. An API that echoes
the request's headers, or a library whose exception quotes them, would take the token there. So the tool is copied for
the call, and the copy's `_run` and `_arun` are watched: they run before any callback hears of the outcome.
"""

from __future__ import annotations

import functools
from typing import Any

from authsec.denials import forget_denied
from authsec.redaction import redacted, safe_error
from langchain_core.tools import BaseTool, ToolException

from authsec_langchain.calls import ToolCall, running


def guarded(tool: BaseTool, call: ToolCall) -> BaseTool:
    """A copy of `tool` for this call."""

    @functools.wraps(tool._run)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return redacted(call.handed_out, tool._run(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is, callbacks are about to be given it
            failure = _safe(error, call)
        raise failure  # here, where the one that may quote the token is its context no more

    @functools.wraps(tool._arun)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return redacted(call.handed_out, await tool._arun(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as above
            failure = _safe(error, call)
        raise failure

    copied = tool.model_copy()
    vars(copied).update(_run=run, _arun=arun)  # no fields, so pydantic has no way to set them
    return copied


def _safe(error: Exception, call: ToolCall) -> Exception:
    """The error itself, unless it tells a token; then one that does not, and has no cause that does."""
    forget_denied(error, call.handed_out)
    return safe_error(call.handed_out, error, ToolException)
