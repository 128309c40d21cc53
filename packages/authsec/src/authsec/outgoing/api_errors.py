"""What an API said when it refused a request, read from the exceptions of HTTP clients.

requests, httpx, aiohttp and urllib all raise something that carries a status and headers; their texts carry whole
URLs. The reason stands in the WWW-Authenticate header, where RFC 6750 §3 wants it.
"""

from __future__ import annotations

import http
import re
from dataclasses import dataclass
from typing import Any

from authsec.wording import plain

_AUTH_PARAM = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefusal:
    """An API's answer of 400 or above, and what to tell a model about it."""

    status: int
    text: str


def api_refusal(error: Exception) -> ApiRefusal | None:
    """The API's answer that `error` tells of, or None if it is another kind of error."""
    response: Any = getattr(error, "response", None)
    if response is None:  # not `or`: a requests.Response of 400 and above is false
        response = error
    status = _status(response)
    if status is None:
        return None
    return ApiRefusal(status=status, text=_text(status, _challenge(response)))


def _status(response: Any) -> int | None:
    for name in ("status_code", "status", "code"):
        status = getattr(response, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def _challenge(response: Any) -> dict[str, str]:
    """The parameters of `WWW-Authenticate: Bearer …`, made plain."""
    read = getattr(getattr(response, "headers", None), "get", None)
    value = read("WWW-Authenticate") if callable(read) else None
    if not isinstance(value, str) or not value.lower().startswith("bearer "):
        return {}
    return {name: plain(re.sub(r"\\(.)", r"\1", text), 200) for name, text in _AUTH_PARAM.findall(value)}


def _text(status: int, challenge: dict[str, str]) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "failure"
    text = f"The API answered {status} ({challenge.get('error', phrase)})."
    if description := challenge.get("error_description"):
        text += f" {description.rstrip('.')}."
    if scope := challenge.get("scope"):
        text += f" It needs the action {scope}."
    if status == 401:
        text += " The next call will use a new token."
    return text
