"""Turn failures into responses. All responses below `/authsec/` have the same body format (docs/endpoint.md)."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from authsec_server.failures import (
    Conflict,
    Failure,
    Invalid,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Outdated,
    Unavailable,
    seconds_text,
)
from authsec_server.principal import Role
from authsec_server.web.etags import PreconditionRequired, etag
from authsec_server.web.instants import rfc3339
from authsec_server.web.oauth_errors import TOKEN_PATH, as_oauth
from authsec_server.web.request_context import context_of
from authsec_server.web.request_log import note_failure, note_reason

log = structlog.get_logger(__name__)

STATUS: Mapping[type[Failure], int] = {
    Invalid: 400,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    Outdated: 412,
    Unavailable: 503,
}
"""The status of each kind of failure (RFC 9110 section 15.5)."""


# RFC 9110 section 9.2.1. A client may also repeat a token request: a second record in the audit log does no harm.
_SAFE = frozenset({"GET", "HEAD"})

_HELPS: Mapping[int, str] = {
    408: "Send the body again, without a pause.",
    415: "Send the fields as name=value, with Content-Type: application/x-www-form-urlencoded.",
}
"""The remedies of requests that the framework or a reader of bodies refuses."""


class Unauthenticated(Exception):
    """The request does not authenticate a valid principal. The response contains `message`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class TooOften(Exception):
    """A request over a rate limit. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


def error_response(
    request: Request,
    status: int,
    *,
    reason: str,
    error: str,
    details: str = "",
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> JSONResponse:
    """Return an error response with the members that every error has.

    - `error`: a sentence. `details`: the remedy.
    - `reason`: a stable code for programs.
    - `retryable`: whether a retry can help.
    - `request_id`: the id of the request.
    """
    note_reason(request.scope, reason)
    body: dict[str, object] = {
        "error": error,
        "reason": reason,
        "details": details,
        "retryable": retryable,
        "request_id": context_of(request.scope).request_id,
        **(extra or {}),
    }
    if request.scope["path"] == TOKEN_PATH and status != 404:  # 404: this server has no token endpoint
        body = as_oauth(body, status)
    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header `Retry-After` (RFC 9110 section 10.2.3) in whole seconds, at least 1."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def status_of(failure: Failure) -> int:
    """Return the HTTP status of a failure."""
    return next((STATUS[kind] for kind in type(failure).__mro__ if kind in STATUS), 500)


def _failure(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, Failure)
    status = status_of(failure)
    if isinstance(failure, Unavailable):
        note_failure(request.scope, failure)
    details, retryable = failure.remedy, isinstance(failure, Unavailable)
    if isinstance(failure, OutcomeUnknown):
        retryable = request.method in _SAFE
        details = "Retry shortly." if retryable else failure.remedy
    return error_response(
        request,
        status,
        reason=failure.reason,
        error=failure.message,
        details=details,
        retryable=retryable,
        headers=_headers(failure),
        extra=_extra(failure),
    )


def _headers(failure: Failure) -> dict[str, str]:
    if isinstance(failure, Unavailable):
        return retry_after(failure.retry_after)
    if isinstance(failure, Outdated) and failure.present:
        return {"ETag": etag(failure.present, failure.thing)}
    return {}


def _extra(failure: Failure) -> dict[str, object]:
    if isinstance(failure, Invalid) or (isinstance(failure, Conflict) and failure.field):
        return {"field": failure.field}
    if isinstance(failure, Outdated):
        return {
            "changed_by": failure.by,
            "changed_at": rfc3339(failure.at),
            "changed_fields": list(failure.fields),
        }
    return {}


def _unauthenticated(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, Unauthenticated)
    role = max(getattr(request.state, "least", Role.OPERATOR), Role.OPERATOR).name.lower()
    return error_response(
        request,
        401,
        reason="not_authenticated",
        error=failure.message,
        details="Send a valid admin key: Authorization: Bearer authsec_…; commands send AUTHSEC_ADMIN_KEY. "
        f"On the server's machine, `authsec admin create-key NAME --role {role} --expires 30d` makes one.",
        headers={"WWW-Authenticate": 'Bearer realm="authsec admin"'},
    )


def _precondition_required(request: Request, _failure: Exception) -> Response:
    return error_response(
        request,
        428,
        reason="precondition_required",
        error="If-Match is missing, so it is unknown which revision this edit is based on. Nothing was changed.",
        details='Send the ETag that you read, e.g. If-Match: "3-5b0c9e12"; or * to overwrite later edits.',
    )


def _too_often(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, TooOften)
    return error_response(
        request,
        429,
        reason="rate_limited",
        error=failure.message,
        details=f"Retry in {seconds_text(failure.retry_after)}.",
        retryable=True,
        headers=retry_after(failure.retry_after),
    )


def _http(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    reason, error = {
        404: ("not_found", "There is nothing at this address."),
        405: ("method_not_allowed", f"The method {request.method} is not allowed here."),
        408: ("body_too_slow", "The body did not arrive in time."),
        413: ("body_too_large", "The body is larger than this server accepts."),
    }.get(failure.status_code, ("invalid_request", str(failure.detail)))
    allowed = (failure.headers or {}).get("Allow")
    details = f"Allowed: {allowed}" if allowed else _HELPS.get(failure.status_code, "")
    if failure.status_code == 404 and request.scope["path"].endswith("/"):
        details = "Remove the slash at the end of the address."
    return error_response(
        request, failure.status_code, reason=reason, error=error, details=details, headers=failure.headers
    )


def where(error: BaseException) -> str:
    """Return the stack trace of an error without its message."""
    return "".join(traceback.format_tb(error.__traceback__))


def unexpected(request: Request, error: Exception) -> Response:
    """Log the stack trace of an unexpected error, and return a 500 response.

    The log omits the message of the error, because the message may contain a secret.
    """
    request_id = context_of(request.scope).request_id
    log.error("unexpected error", error=type(error).__name__, request_id=request_id, where=where(error))
    return error_response(
        request,
        500,
        reason="internal_error",
        error="The server failed while handling this request.",
        details="The operator can find the request id in the server's log.",
    )


HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    Failure: _failure,
    Unauthenticated: _unauthenticated,
    PreconditionRequired: _precondition_required,
    TooOften: _too_often,
    HTTPException: _http,
}
