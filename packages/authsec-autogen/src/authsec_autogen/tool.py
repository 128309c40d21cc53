"""What a tool hands to the model: results as JSON text, exceptions as one safe sentence, and never the token.

AutoGen puts both into the conversation as they are. An API that echoes the request's headers, or a library whose
exception quotes them, would give the token away.
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

from authsec import AuthSecClient, AuthSecError
from authsec.outgoing.api_errors import api_refusal
from authsec.wording import plain

_REMOVED = "[delegation token removed]"


class ToolError(Exception):
    """A tool failed. The text is made for the model; the cause is not attached, since frameworks print it."""


def as_tool(function: Callable[..., Any], client: AuthSecClient) -> Callable[..., Any]:
    """`function` with results and exceptions fit for a model. It still takes `delegation_token`, as it did."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> str:
        token = signature.bind(*args, **kwargs).arguments["delegation_token"]
        try:
            return _text(function(*args, **kwargs)).replace(token, _REMOVED)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text is about to be read by a model
            raise _safe(error, token, client) from None

    @functools.wraps(function)
    async def run_async(*args: Any, **kwargs: Any) -> str:
        token = signature.bind(*args, **kwargs).arguments["delegation_token"]
        try:
            return _text(await function(*args, **kwargs)).replace(token, _REMOVED)
        except Exception as error:  # noqa: BLE001 - as above
            raise _safe(error, token, client) from None

    tool: Callable[..., Any] = run_async if inspect.iscoroutinefunction(function) else run
    tool.__annotations__ = {**getattr(function, "__annotations__", {}), "return": str}
    return tool


def _safe(error: Exception, token: str, client: AuthSecClient) -> Exception:
    if isinstance(error, AuthSecError):
        return error
    refusal = api_refusal(error)
    if refusal is None:
        text = plain(str(error).replace(token, _REMOVED), 300)
        return ToolError(f"{type(error).__name__}: {text}")
    if refusal.status == 401:
        client.invalidate(token)
    return ToolError(refusal.text)


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=_json_value)


def _json_value(value: Any) -> Any:
    """What JSON has no word for, of the types that APIs and databases return."""
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
    raise TypeError(f"the tool returned a {type(value).__name__}, which is not JSON; let it return a dict or text")
