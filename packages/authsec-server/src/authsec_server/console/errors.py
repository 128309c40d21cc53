"""Error pages for failures that a page does not handle: not found, not permitted, not signed in, unavailable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from authsec_server.accounts.authentication import SecondFactorMissing, SessionEnded
from authsec_server.console import guard
from authsec_server.console.addresses import SECOND_FACTOR
from authsec_server.failures import Failure, RoleTooSmall, Unavailable, seconds_text
from authsec_server.web.errors import TooOften, Unauthenticated, retry_after, status_of, where
from authsec_server.web.request_context import context_of
from authsec_server.web.request_log import note_failure

log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

TITLES = {
    400: "Invalid request",
    403: "Not permitted",
    404: "Page not found",
    405: "Method not allowed",
    408: "The form took too long to arrive",
    409: "Conflict with existing data",
    412: "Changed in the meantime",
    413: "The form is too large",
    415: "The request is not a form",
    429: "Too many requests",
    503: "Temporarily unavailable",
}


ASK = "Ask an administrator who has that role."  # for people; the admin API suggests another admin key


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPage:
    """The content of an error page: status, message, remedy and headers."""

    status: int
    message: str = ""
    remedy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the page's heading."""
        return TITLES.get(self.status, "Something went wrong")


def answered(endpoint: Endpoint, show: Callable[[Request, FailedPage], Response]) -> Endpoint:
    """Wrap the endpoint. If it raises an exception, the response is an error page or a redirect to sign-in."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except SecondFactorMissing:
            return RedirectResponse(SECOND_FACTOR, 303, dict(guard.HEADERS))
        except Unauthenticated as failure:
            return _to_sign_in(request, ended=isinstance(failure, SessionEnded))
        except ClientDisconnect:  # the middleware handles it
            raise
        except (Failure, TooOften, HTTPException) as failure:
            if isinstance(failure, Unavailable):
                note_failure(request.scope, failure)
            return show(request, _failed(failure))
        except Exception as error:  # noqa: BLE001 - the person gets a page, and the log gets the stack trace
            request_id = context_of(request.scope).request_id
            log.error("unexpected error", error=type(error).__name__, request_id=request_id, where=where(error))
            return show(
                request,
                FailedPage(status=500, message="The server could not show this page because of an internal error."),
            )

    return answer


def _failed(failure: Failure | TooOften | HTTPException) -> FailedPage:
    if isinstance(failure, TooOften):
        remedy = f"Try again in {seconds_text(failure.retry_after)}."
        return FailedPage(status=429, message=failure.message, remedy=remedy, headers=retry_after(failure.retry_after))
    if isinstance(failure, HTTPException):
        said = "" if failure.detail == HTTPStatus(failure.status_code).phrase else failure.detail
        return FailedPage(status=failure.status_code, message=said, headers=failure.headers or {})
    if isinstance(failure, Unavailable):
        headers = retry_after(failure.retry_after)
        return FailedPage(status=503, message=failure.message, remedy=failure.remedy, headers=headers)
    remedy = ASK if isinstance(failure, RoleTooSmall) else failure.remedy
    return FailedPage(status=status_of(failure), message=failure.message, remedy=remedy)


def _to_sign_in(request: Request, *, ended: bool) -> Response:
    asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    back = {"next": asked} if request.method == "GET" and asked != "/console" else {}
    query = urlencode(back | ({"ended": "yes"} if ended else {}))
    return RedirectResponse(f"/console/sign-in?{query}" if query else "/console/sign-in", 303, dict(guard.HEADERS))
