"""Helpers for OAuth endpoints: HTTP Basic (RFC 7617), paths and error responses (RFC 6749 section 5.2)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from authsec import strict_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from authsec_server.failures import Failure
from authsec_server.web.bodies import read_fields
from authsec_server.web.errors import HANDLERS, TooOften, error_response
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
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path

_CODES: Mapping[int, str] = {429: "temporarily_unavailable", 503: "temporarily_unavailable"}


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


def oauth_error(request: Request, code: str, *, error: str, details: str) -> JSONResponse:
    """Return a 400 response with this OAuth error code.

    `error_description` contains both `error` and `details`, because many clients show only `error_description`.
    """
    described = {"error": code, "error_description": f"{error} {details}"}
    return error_response(request, 400, reason=code, error=error, details=details, extra=described)


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
    told = strict_json.loads(bytes(plain.body))
    code = _CODES.get(plain.status_code, "invalid_request")
    headers = {name: value for name, value in plain.headers.items() if name not in {"content-length", "content-type"}}
    return JSONResponse({**told, "error": code, "error_description": told["error"]}, plain.status_code, headers)
