"""Remove tokens from tool results and exceptions, because AutoGen shows both to the model unchanged.

A result becomes JSON text, and an exception becomes one sentence. `authsec.redaction` removes the token.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from authsec import AuthSecError
from authsec.denials import forget_denied
from authsec.outgoing.api_errors import api_refusal
from authsec.redaction import ToolError, error_text, redacted


def as_tool(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `function` so that its results and exceptions contain no token.

    The wrapper keeps the parameter `delegation_token`.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> str:
        token = signature.bind(*args, **kwargs).arguments["delegation_token"]
        try:
            return _text(redacted([token], function(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001 - a model reads the text of every error
            failure = _safe(error, token)
        # Outside the `except` block, so that the error with the token is not its context.
        raise failure

    @functools.wraps(function)
    async def run_async(*args: Any, **kwargs: Any) -> str:
        token = signature.bind(*args, **kwargs).arguments["delegation_token"]
        try:
            return _text(redacted([token], await function(*args, **kwargs)))
        except Exception as error:  # noqa: BLE001 - a model reads the text of every error
            failure = _safe(error, token)
        raise failure

    tool: Callable[..., Any] = run_async if inspect.iscoroutinefunction(function) else run
    tool.__annotations__ = {**getattr(function, "__annotations__", {}), "return": str}
    return tool


def _safe(error: Exception, token: str) -> Exception:
    if isinstance(error, AuthSecError):
        return error
    forget_denied(error, [token])
    text = error_text([token], error)
    return ToolError(text if api_refusal(error) else f"{type(error).__name__}: {text}")


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=_json_value)


def _json_value(value: Any) -> Any:
    """Convert a value that `json` cannot encode, such as a date, a UUID, a set or a dataclass.

    Raises `TypeError` for a value of any other type.
    """
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump(mode="json")
    raise TypeError(f"the tool returned a {type(value).__name__}, which is not JSON; return a dict or text instead")
