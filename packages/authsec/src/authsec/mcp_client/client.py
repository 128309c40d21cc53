"""The HTTP client: an `AsyncClient` of httpx or httpx2, whichever the installed package `mcp` uses."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from authsec.errors import AuthSecError, ConfigError
from authsec.mcp_client.answers import Refusal, answer, message_in, refusal_by_authority, refusal_by_server
from authsec.mcp_client.bodies import SafeBody, without_tokens
from authsec.mcp_client.tool_lists import ToolLists, page_of
from authsec.outgoing.bearer import Bearer
from authsec.outgoing.httpx_auth import httpx_auth
from authsec.withheld import withheld


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAuth:
    """Makes HTTP clients for MCP. Frameworks call it with the first three parameters (`httpx_client_factory`)."""

    bearer: Bearer

    def __call__(self, headers: Any = None, timeout: Any = None, auth: Any = None, **settings: Any) -> Any:
        """An `AsyncClient` with these `settings` of its class. Raises `ConfigError` for `auth`."""
        if auth is not None:
            raise ConfigError(
                "mcp_auth sets the header Authorization itself and accepts no other auth. Remove auth from the "
                "settings of the MCP server.",
                reason="config_invalid",
            )
        library = _library()
        timeout = library.timeout if timeout is None else timeout
        return library.client(httpx_auth(self.bearer), library, headers=headers, timeout=timeout, **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Library:
    """The parts of httpx or httpx2 that a client needs; `timeout` is the default of `mcp`."""

    client: Any
    response: Any
    body: Any
    timeout: Any


class McpClient:
    """An `AsyncClient` that sends tokens and answers refused messages itself."""

    def __init__(self, bearer_auth: Any, library: _Library, **settings: Any) -> None:
        self._bearer_auth = bearer_auth
        self._library = library
        self._tool_lists = ToolLists()
        super().__init__(**settings)

    async def send(self, request: Any, **how: Any) -> Any:
        """The server's response, or our answer. A caller's `auth` is ignored: no request leaves without a token."""
        self._withhold_first()
        message = message_in(request)
        try:
            response = await super().send(request, **{**how, "auth": self._bearer_auth})  # type: ignore[misc] # AsyncClient's
        except AuthSecError as error:
            if message is None:
                raise
            refusal = refusal_by_authority(error)
        else:
            refused = None if message is None else refusal_by_server(response)
            if message is None or refused is None:
                return self._safe(response)
            await response.aclose()
            refusal = refused
        return self._in_place(request, message, refusal)

    def _in_place(self, request: Any, message: dict[str, Any], refusal: Refusal) -> Any:
        """Our answer. A notification gets 202: an MCP client ends its session where one cannot be sent."""
        body = answer(message, refusal, listed=self._tool_lists.last(request, message))
        if body is None:
            return self._library.response(202, request=request)
        return self._library.response(200, json=body, request=request)

    def _withhold_first(self) -> None:
        """Put our hook first: hooks of frameworks, added at any time, read and record bodies."""
        hooks = self.event_hooks["response"]  # type: ignore[attr-defined] # AsyncClient's
        if hooks[:1] != [self._withhold]:
            hooks.insert(0, self._withhold)

    async def _withhold(self, response: Any) -> None:
        """Remove tokens from headers and body."""
        received = self._library.response(response.status_code, headers=response.headers, stream=response.stream)
        pieces = without_tokens(received.aiter_bytes())
        page = page_of(response.request, message_in(response.request))
        if page is not None:
            is_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
            pieces = self._tool_lists.keeping(page, pieces, is_stream=is_stream)
        response.stream = self._library.body(received, pieces)
        response.headers = type(response.headers)([(n, withheld((), v)) for n, v in response.headers.multi_items()])
        for of_the_encoded in ("Content-Encoding", "Content-Length"):
            response.headers.pop(of_the_encoded, None)

    def _safe(self, response: Any) -> Any:
        """The same response, unless a transport (for tests, say) read a body that has a token."""
        try:
            content = response.content
        except RuntimeError:  # ResponseNotRead of either library: the body is a stream, and safe
            return response
        safe = withheld((), content)
        if safe == content:
            return response
        return self._library.response(
            response.status_code, headers=response.headers, content=safe, request=response.request
        )


@cache
def _library() -> _Library:
    try:
        importlib.import_module("mcp")
    except ModuleNotFoundError as missing:
        if missing.name != "mcp":
            raise
        raise ConfigError(
            "mcp_auth needs the package mcp, which is not installed here. Install mcp, or use httpx_auth.",
            reason="mcp_missing",
        ) from None
    # `mcp` 1 and 2 both have it in this module, from which frameworks import it, too.
    usual = importlib.import_module("mcp.shared._httpx_utils").create_mcp_http_client()
    httpx = importlib.import_module(type(usual).__module__.partition(".")[0])
    return _Library(
        client=type(McpClient.__name__, (McpClient, httpx.AsyncClient), {"__module__": __name__}),
        response=httpx.Response,
        body=type(SafeBody.__name__, (SafeBody, httpx.AsyncByteStream), {"__module__": __name__}),
        timeout=usual.timeout,
    )
