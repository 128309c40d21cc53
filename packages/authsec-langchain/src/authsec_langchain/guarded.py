"""Guard a tool during one call: the tool can get tokens, but its results and exceptions contain none.

LangChain passes results and exceptions of a tool to callbacks, traces, the state, its checkpoints and the
model. An API may echo the headers of a request, and an exception of a library may quote them. The token would
then leak.

For each call, `guarded` copies the tool and wraps `_run` and `_arun` of the copy. The wrappers run before any
callback gets the outcome.
"""

from __future__ import annotations

import functools
from typing import Any

from authsec.denials import forget_denied
from authsec.redaction import redacted, safe_error
from langchain_core.tools import BaseTool, ToolException

from authsec_langchain.calls import ToolCall, running


def guarded(tool: BaseTool, call: ToolCall) -> BaseTool:
    """Return a copy of `tool` for this call that removes tokens from results and exceptions."""

    @functools.wraps(tool._run)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return redacted(call.handed_out, tool._run(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - callbacks receive every error
            failure = _safe(error, call)
        # Outside the `except` block, so that the error with the token is not its context.
        raise failure

    @functools.wraps(tool._arun)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        try:
            with running(call):
                return redacted(call.handed_out, await tool._arun(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - callbacks receive every error
            failure = _safe(error, call)
        raise failure

    copied = tool.model_copy()
    # `_run` and `_arun` are not fields, so pydantic cannot set them.
    vars(copied).update(_run=run, _arun=arun)
    return copied


def _safe(error: Exception, call: ToolCall) -> Exception:
    """Return the error itself if it contains no token; else a new error without tokens and without a cause."""
    forget_denied(error, call.handed_out)
    return safe_error(call.handed_out, error, ToolException)
