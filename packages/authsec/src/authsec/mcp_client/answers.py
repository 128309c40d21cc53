"""Answers of JSON-RPC 2.0 to refused messages. An exception would end the session of the MCP client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from authsec.denials import denial_text
from authsec.errors import AuthSecError
from authsec.issued_tokens import live_tokens
from authsec.outgoing.api_errors import api_refusal

_NOT_ANSWERED: Final = -32010  # MCP leaves -32000 to -32019 to implementations
_DENIED: Final = {401, 403}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why a message has no answer of the server; a model may read `text`. An outage is no denial."""

    text: str
    is_denial: bool


def refusal_by_authority(error: AuthSecError) -> Refusal:
    """The authority issued no token."""
    denial = denial_text(error, ())
    return Refusal(text=denial or str(error), is_denial=denial is not None)


def refusal_by_server(response: Any) -> Refusal | None:
    """The server refused a token of this process with 401 or 403; None for every other response."""
    refusal = api_refusal(response)
    if refusal is None or refusal.status not in _DENIED or refusal.sent not in live_tokens():
        return None
    return Refusal(text=refusal.said, is_denial=True)


def message_in(request: Any) -> dict[str, Any] | None:
    """The JSON-RPC message in a POST of streamable HTTP; None for any other request.

    A POST of the older transport (`sse_client`) accepts no events: that client ignores the response and waits on its
    GET stream.
    """
    if request.method != "POST" or "text/event-stream" not in request.headers.get("Accept", ""):
        return None
    try:
        message = json.loads(request.content)
    except (RuntimeError, ValueError):  # RequestNotRead of either library: the body is a stream
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def answer(message: dict[str, Any], refusal: Refusal, *, listed: dict[str, Any] | None) -> dict[str, Any] | None:
    """The answer to a request; None for a notification or a response.

    A denied `tools/call` is a failed tool, whose text the model reads. A denied `tools/list` returns the server's last
    list (`listed`), so that the run reaches the call. Every other request fails with an error: only the server knows
    its answer, and an outage must not look like a denial.
    """
    if "method" not in message or "id" not in message:
        return None
    answered: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if refusal.is_denial and message["method"] == "tools/call":
        content = [{"type": "text", "text": refusal.text}]
        # `resultType` is for protocol version 2026-07-28, which requires it; earlier ones allow members of any name.
        return answered | {"result": {"content": content, "isError": True, "resultType": "complete"}}
    if refusal.is_denial and listed is not None:
        return answered | {"result": listed}
    return answered | {"error": {"code": _NOT_ANSWERED, "message": refusal.text}}
