"""An API's refusal of a request, read from the exceptions of HTTP clients.

requests, httpx, aiohttp and urllib raise exceptions with a status and headers. This module does not use the
texts of these exceptions, because they contain whole URLs. The reason is in the header WWW-Authenticate, as
RFC 6750 §3 requires.
"""

from __future__ import annotations

import http
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from authsec.safe_text import plain

_AUTH_PARAM = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_SAME_FOR_A_NEW_TOKEN: Final = {
    "issuer_mismatch", "audience_mismatch", "binding_not_supported", "bound_token_as_bearer", "token_not_bound",
}  # fmt: skip
# Characters. `error_uri` is the console page to grant missing actions. An `error_description` may have two URLs.
_LONGEST: Final = {"error_uri": 1300, "error_description": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefusal:
    """An API's response with status 400 or above, and the text about it for a model.

    `said` describes the API's response. `reason` is the code of an AuthSec verifier, if an AuthSec verifier
    refused the request. `sent` is the token of the request. It is empty if the request had no token, and
    None if the request is not available.
    """

    status: int
    said: str
    reason: str
    sent: str | None = field(repr=False)

    @property
    def text(self) -> str:
        """Return the text for a model. For a 401, the text says whether a new token can help."""
        if self.status != 401:
            return self.said
        if self.reason in _SAME_FOR_A_NEW_TOKEN:
            return (
                f"{self.said} A new token will not help: the operator of the agent or of the API must change the "
                "settings."
            )
        return f"{self.said} The next call will use a new token."


def api_refusal(thing: object) -> ApiRefusal | None:
    """Return the API's refusal in a response or in an exception with a response; None if there is no refusal."""
    response: Any = getattr(thing, "response", None)
    if response is None:  # `or` would fail: a `requests.Response` with status 400 or above is false.
        response = thing
    status = _status(response)
    if status is None:
        return None
    challenge = _challenge(response)
    return ApiRefusal(
        status=status, said=_said(status, challenge), reason=challenge.get("reason", ""), sent=_sent(response)
    )


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and every error in its causes, contexts and exception groups, each only once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()


def _status(response: Any) -> int | None:
    for name in ("status_code", "status", "code"):
        status = getattr(response, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def _sent(response: Any) -> str | None:
    try:
        # `request_info` is aiohttp's name.
        request = getattr(response, "request", None) or getattr(response, "request_info", None)
    except RuntimeError:  # httpx: the response has no request.
        return None
    read = getattr(getattr(request, "headers", None), "get", None)
    if not callable(read):
        return None
    scheme, _, token = str(read("Authorization") or "").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "dpop"} else ""


def _challenge(response: Any) -> dict[str, str]:
    """Return the parameters of `WWW-Authenticate: Bearer …` or `DPoP …`, cleaned and shortened."""
    read = getattr(getattr(response, "headers", None), "get", None)
    value = read("WWW-Authenticate") if callable(read) else None
    if not isinstance(value, str) or not value.lower().startswith(("bearer ", "dpop ")):
        return {}
    found = _AUTH_PARAM.findall(value)
    return {name: plain(re.sub(r"\\(.)", r"\1", text), _LONGEST.get(name, 200)) for name, text in found}


def _said(status: int, challenge: dict[str, str]) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "failure"
    text = f"The API answered {status} ({challenge.get('error', phrase)})."
    if description := challenge.get("error_description"):
        text += f" {description.rstrip('.')}."
    if scope := challenge.get("scope"):
        text += f" The call needs the action {scope}."
    if page := challenge.get("error_uri"):
        text += f" The person you work for can grant it at {page}."
    return text
