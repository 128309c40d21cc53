"""Adds a token to every request of httpx or httpx2: one object is an `Auth` of both libraries."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Generator
from functools import cache
from typing import Any, Final

from authsec.errors import ConfigError
from authsec.outgoing.bearer import Bearer, Origin, header
from authsec.tokens import DelegationToken

_UNAUTHORIZED: Final = 401


class HttpxAuth:
    """The result of `httpx_auth`, for the argument `auth=` of a `Client`, an `AsyncClient`, or one request.

    The client itself follows redirects. If scheme, host or port change, the client drops the Authorization
    header. The one exception is a redirect from `http` to `https` on the default ports of the same host.
    """

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Yield each request for a `Client` to send, and receive the response.

        After a 401, yield the request once more.
        """
        origin = self._origin(request)
        if origin is None:
            yield request
            return
        token = self._bearer.token()
        response, sent = (yield self._with(request, token)), request
        if self._needs_new_proof(origin, token, response) and _can_be_sent_again(request):
            sent = response.request
            response = yield self._with(sent, token)
        if self._needs_new_token(origin, token, response) and _can_be_sent_again(request):
            token = self._bearer.token()
            self._needs_new_token(origin, token, (yield self._with(sent, token)))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Do the same as `sync_auth_flow`, for an `AsyncClient`."""
        origin = self._origin(request)
        if origin is None:
            yield request
            return
        token = await self._bearer.atoken()
        response, sent = (yield self._with(request, token)), request
        if self._needs_new_proof(origin, token, response) and _can_be_sent_again(request):
            sent = response.request
            response = yield self._with(sent, token)
        if self._needs_new_token(origin, token, response) and _can_be_sent_again(request):
            token = await self._bearer.atoken()
            self._needs_new_token(origin, token, (yield self._with(sent, token)))

    def _with(self, request: Any, token: DelegationToken) -> Any:
        request.headers.update(self._bearer.client.headers(token, request.method, str(request.url)))
        return request

    def _needs_new_proof(self, origin: Origin, token: DelegationToken, response: Any) -> bool:
        """Whether the API refused the proof of a redirected request. The client itself has followed the redirect.

        A proof is for one URL (RFC 9449 §4.2), and the client has sent the first proof to the second URL.
        """
        redirected = response.status_code == _UNAUTHORIZED and token.is_bound and bool(response.history)
        return redirected and self._carries(response.request, token) and self._origin(response.request) == origin

    def _carries(self, request: Any, token: DelegationToken) -> bool:
        return bool(request.headers.get("Authorization") == header(token))

    def _origin(self, request: Any) -> Origin | None:
        """Return the request's origin if it may receive a token; else None.

        The origin is built from the same URL parts that the client connects to.
        """
        url = request.url
        origin = Origin.of(url.scheme, url.raw_host.decode("ascii"), url.port)
        return origin if self._bearer.allows(origin) else None

    def _needs_new_token(self, origin: Origin, token: DelegationToken, response: Any) -> bool:
        """Whether to retry with another token. Ignore the response to a request that did not carry this token."""
        return self._carries(response.request, token) and self._bearer.needs_new_token(
            response.status_code, origin, token
        )

    def __repr__(self) -> str:
        return f"httpx_auth({self._bearer!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return httpx_auth, (self._bearer,)


def httpx_auth(bearer: Bearer) -> Any:
    """Return one object that is an `Auth` of httpx and of httpx2. Raises `ConfigError` if neither is installed."""
    kind = _kind()
    return kind(bearer)


@cache
def _kind() -> type[HttpxAuth]:
    """Return a subclass of `HttpxAuth` and of the class `Auth` of each installed library.

    Each library accepts only instances of its own class `Auth`.
    """
    auths = [module.Auth for module in map(_installed, ("httpx", "httpx2")) if module is not None]
    if not auths:
        raise ConfigError(
            "httpx_auth is for httpx or httpx2, and neither is installed here. Install the one that the program uses.",
            reason="httpx_missing",
        )
    return type(HttpxAuth.__name__, (HttpxAuth, *dict.fromkeys(auths)), {"__module__": __name__})


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        return None


def _can_be_sent_again(request: Any) -> bool:
    """Whether the whole body is in memory. The first try consumes a streamed body."""
    try:
        _ = request.content
    except RuntimeError:  # RequestNotRead of httpx or httpx2
        return False
    return True
