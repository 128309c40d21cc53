"""Helpers for OAuth endpoints: HTTP Basic (RFC 7617), error responses (RFC 6749 section 5.2), paths and grants.

Also the authorization endpoint, which refuses every request.
The metadata announce these paths, grants and methods, and `tokens.token_endpoint` supports them.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_plus

from authsec import strict_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.failures import Failure
from authsec_server.web.bodies import read_fields
from authsec_server.web.errors import HANDLERS, TooOften, error_response
from authsec_server.web.oauth_errors import TOKEN_PATH, as_oauth
from authsec_server.web.operations import Handler

MAX_BYTES: Final = 1024  # large, because each character may be percent-encoded


def read_basic(credential: str) -> tuple[str, str] | None:
    """Return the user name and the password of an HTTP Basic credential, or None if the credential is malformed.

    A client form-encodes the name and the password before it joins both with a colon. Thus the first colon is
    always the separator.
    """
    if len(credential) > MAX_BYTES:
        return None
    try:
        joined = b64decode(credential, validate=True).decode("ascii")
    except ValueError:  # raised for invalid base64 and for text that is not ASCII
        return None
    named, joint, secret = joined.partition(":")
    return (unquote_plus(named), unquote_plus(secret)) if joint else None


AUTHORIZATION_PATH = "/oauth/authorize"


class Grant(StrEnum):
    """The grants of the token endpoint, by their `grant_type`."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 section 2.1


AUTHENTICATION_METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post")
"""How clients authenticate at the token endpoint, by the names of RFC 8414."""


def oauth(handler: Handler) -> Handler:
    """Wrap a handler so that its error responses have the OAuth format.

    In this format, `error` is a code. In the format of the admin API, `error` is a sentence.
    """

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (Failure, HTTPException, TooOften) as failure:
            handle = next(HANDLERS[kind] for kind in type(failure).__mro__ if kind in HANDLERS)
            return _restated(handle(request, failure))  # type: ignore[arg-type] # these handlers are not coroutines

    return answer


def oauth_error(
    request: Request,
    code: str,
    *,
    error: str,
    details: str,
    status: int = 400,
    reason: str = "",
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> JSONResponse:
    """Return a response with this OAuth error code, which is also the `reason` if none is given."""
    given = {"error": error, "details": details}
    described = {name: value for name, value in as_oauth(given, status, code).items() if name != "details"}
    return error_response(
        request,
        status,
        reason=reason or code,
        error=error,
        details=details,
        retryable=retryable,
        headers=headers,
        extra={**(extra or {}), **described},
    )


async def read_parameters(request: Request) -> dict[str, str]:
    """Read the parameters of the request's form.

    Raises `Invalid` for a form that cannot be read. Raises `HTTPException` for a repeated parameter (RFC 6749
    section 3.2).
    """
    fields = await read_fields(request)
    parameters = dict(fields)
    if len(parameters) != len(fields):
        raise HTTPException(400, "A parameter was given more than once.")
    return parameters


def _restated(plain: Response) -> JSONResponse:
    told = as_oauth(strict_json.loads(bytes(plain.body)), plain.status_code)
    headers = {name: value for name, value in plain.headers.items() if name not in {"content-length", "content-type"}}
    return JSONResponse(told, plain.status_code, headers)


def authorization_route(issuer: str, page: Callable[[Request], Response] | None = None) -> Route:
    """Return the route of the authorization endpoint (RFC 6749 section 3.1), which refuses every request.

    No response type is supported. The endpoint does not read the query. A redirect URI there is not registered, so
    nobody is redirected to it (section 4.1.2.1). Programs get JSON. Browsers get `page`, if there is one.
    """

    async def authorize(request: Request) -> Response:
        if page is not None and "text/html" in request.headers.get("accept", ""):
            return page(request)
        return oauth_error(
            request,
            "unsupported_response_type",
            error="This authorization endpoint supports no response type.",
            details=f"A client gets its own token at {issuer}{TOKEN_PATH}, by client_credentials.",
        )

    return Route(AUTHORIZATION_PATH, authorize, methods=["GET"])
