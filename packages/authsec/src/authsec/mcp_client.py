"""`mcp_auth`: an HTTP client for an agent's MCP client. The MCP session continues after a denial.

The HTTP client is an `AsyncClient` of httpx or httpx2, whichever the installed package `mcp` uses.

If a message is refused, the HTTP client itself answers with JSON-RPC 2.0, because an exception would end the
session. While the agent is denied, it answers `tools/list` with the last list that the server sent. Some
frameworks list the tools before each call of the model, and an error at that point ends the run. Then the
model would never read the denial. An outdated list permits nothing, because the server verifies each call.

Tokens are removed from responses: a server that echoes the request's headers would show the token to a model.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from authsec.denials import denial_text
from authsec.errors import AuthSecError, ConfigError
from authsec.issued_tokens import live_tokens
from authsec.outgoing.api_errors import api_refusal
from authsec.outgoing.bearer import Bearer
from authsec.outgoing.httpx_auth import httpx_auth
from authsec.redaction import redacted

_NOT_ANSWERED: Final = -32010  # MCP leaves -32000 to -32019 to implementations
_DENIED: Final = {401, 403}
_LONGEST_LIST: Final = 1024 * 1024  # bytes: the limit of `mcp` for an event; a longer list is not saved
_MOST_PAGES: Final = 64  # pages of all servers together
_LONGEST_LINE: Final = 64 * 1024  # bytes: an endless line must not fill the memory
_LONGEST_TOKEN: Final = 24 * 1024  # bytes of a token, plain or in base64: servers refuse longer headers

Page = tuple[str, str | None]  # the server's URL and the cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAuth:
    """Makes HTTP clients for MCP. Frameworks call it as an `httpx_client_factory`, with the first three parameters."""

    bearer: Bearer

    def __call__(self, headers: Any = None, timeout: Any = None, auth: Any = None, **settings: Any) -> Any:
        """Return an `AsyncClient`.

        `settings` are further arguments of this class. Raises `ConfigError` if `auth` is set.
        """
        if auth is not None:
            raise ConfigError(
                "mcp_auth sets the header Authorization itself, and allows no other auth. Remove auth from the "
                "settings of the MCP server.",
                reason="config_invalid",
            )
        library = _library()
        timeout = library.timeout if timeout is None else timeout
        return library.client(httpx_auth(self.bearer), library, headers=headers, timeout=timeout, **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Library:
    """The classes of httpx or httpx2 that this module uses. `timeout` is the default timeout of `mcp`."""

    client: Any
    response: Any
    body: Any
    timeout: Any


class McpClient:
    """An `AsyncClient` that sends tokens. If a message is refused, the client itself makes the answer."""

    def __init__(self, bearer_auth: Any, library: _Library, **settings: Any) -> None:
        self._bearer_auth = bearer_auth
        self._library = library
        self._tool_lists = ToolLists()
        super().__init__(**settings)

    async def send(self, request: Any, **how: Any) -> Any:
        """Send the request with a token.

        Return the server's response, or this client's own answer to a refused message. The agent's token replaces the
        caller's `auth`.
        """
        self._redact_first()
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

    def _in_place(self, request: Any, message: dict[str, Any], refusal: NoAnswer) -> Any:
        """Return this client's answer to a refused message, in place of the server's response.

        The answer to a notification is 202: an MCP client ends its session if it cannot send a notification.
        """
        body = answer(message, refusal, listed=self._tool_lists.last(request, message))
        if body is None:
            return self._library.response(202, request=request)
        return self._library.response(200, json=body, request=request)

    def _redact_first(self) -> None:
        """Make `_redact` the first response hook.

        Frameworks can add hooks at any time, and these hooks read and record bodies.
        """
        hooks = self.event_hooks["response"]  # type: ignore[attr-defined] # AsyncClient's
        if hooks[:1] != [self._redact]:
            hooks.insert(0, self._redact)

    async def _redact(self, response: Any) -> None:
        """Remove tokens from the response's headers and body."""
        received = self._library.response(response.status_code, headers=response.headers, stream=response.stream)
        pieces = without_tokens(received.aiter_bytes())
        page = page_of(response.request, message_in(response.request))
        if page is not None:
            is_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
            pieces = self._tool_lists.saving(page, pieces, is_stream=is_stream)
        response.stream = self._library.body(received, pieces)
        response.headers = type(response.headers)([(n, redacted((), v)) for n, v in response.headers.multi_items()])
        for of_the_encoded in ("Content-Encoding", "Content-Length"):
            response.headers.pop(of_the_encoded, None)

    def _safe(self, response: Any) -> Any:
        """Return the response without tokens.

        Some transports have already read the body, for example in tests; then this function redacts the body.
        Otherwise the body is a stream that `_redact` has already made safe.
        """
        try:
            content = response.content
        except RuntimeError:  # ResponseNotRead of httpx or httpx2: the body is a stream, and already safe.
            return response
        safe = redacted((), content)
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
    # `mcp` 1 and 2 both have the function in this module. Frameworks import it from there too.
    usual = importlib.import_module("mcp.shared._httpx_utils").create_mcp_http_client()
    httpx = importlib.import_module(type(usual).__module__.partition(".")[0])
    return _Library(
        client=type(McpClient.__name__, (McpClient, httpx.AsyncClient), {"__module__": __name__}),
        response=httpx.Response,
        body=type(SafeBody.__name__, (SafeBody, httpx.AsyncByteStream), {"__module__": __name__}),
        timeout=usual.timeout,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The reason why a request got no answer from the server; a model may read `text`. An outage is no denial."""

    text: str
    is_denial: bool


def refusal_by_authority(error: AuthSecError) -> NoAnswer:
    """Return the reason why the authority issued no token."""
    denial = denial_text(error, ())
    return NoAnswer(text=denial or str(error), is_denial=denial is not None)


def refusal_by_server(response: Any) -> NoAnswer | None:
    """Return the reason for a 401 or 403 to a token of this process; None for every other response."""
    refusal = api_refusal(response)
    if refusal is None or refusal.status not in _DENIED or refusal.sent not in live_tokens():
        return None
    return NoAnswer(text=refusal.said, is_denial=True)


def message_in(request: Any) -> dict[str, Any] | None:
    """Return the JSON-RPC message in a POST request of streamable HTTP; None for any other request.

    A POST of the older transport (`sse_client`) is excluded; it does not accept events. A client of that
    transport ignores the response to a POST, and reads the answer from its GET stream.
    """
    if request.method != "POST" or "text/event-stream" not in request.headers.get("Accept", ""):
        return None
    try:
        message = json.loads(request.content)
    except (RuntimeError, ValueError):  # RequestNotRead of httpx or httpx2: the body is a stream
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def answer(message: dict[str, Any], refusal: NoAnswer, *, listed: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the answer to a refused request; None for a notification or a response.

    - A denied `tools/call` gets the result of a failed tool. The model reads its text.
    - A denied `tools/list` gets the server's last list (`listed`), so that the agent continues to the tool call.
    - Every other request gets an error: only the server knows the right answer.
    - An outage also gets an error, because it must not look like a denial.
    """
    if "method" not in message or "id" not in message:
        return None
    answered: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if refusal.is_denial and message["method"] == "tools/call":
        content = [{"type": "text", "text": refusal.text}]
        # Protocol version 2026-07-28 requires `resultType`. Earlier versions allow further members.
        return answered | {"result": {"content": content, "isError": True, "resultType": "complete"}}
    if refusal.is_denial and listed is not None:
        return answered | {"result": listed}
    return answered | {"error": {"code": _NOT_ANSWERED, "message": refusal.text}}


class ToolLists:
    """The last tool lists that one HTTP client received, by server and page. One HTTP client belongs to one agent."""

    def __init__(self) -> None:
        self._results: dict[Page, dict[str, Any]] = {}

    def last(self, request: Any, message: dict[str, Any]) -> dict[str, Any] | None:
        """Return the last list that the server sent for the requested page of tools; None for any other request."""
        page = page_of(request, message)
        return None if page is None else self._results.get(page)

    async def saving(self, page: Page, pieces: AsyncIterator[bytes], *, is_stream: bool) -> AsyncIterator[bytes]:
        """Yield the pieces of a response unchanged, and save the tool list that they contain.

        In an event stream, the list is saved before its last piece is yielded: `mcp` stops reading after the result.
        """
        kept = b""
        async for piece in pieces:
            kept = kept + piece if len(kept) + len(piece) <= _LONGEST_LIST else b""
            if is_stream and kept.endswith((b"\n", b"\r")):
                for line in kept.splitlines():
                    self._keep(page, line.removeprefix(b"data:"))
                kept = b""
            yield piece
        self._keep(page, kept)

    def _keep(self, page: Page, text: bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        result = message.get("result") if isinstance(message, dict) else None
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            if page not in self._results and len(self._results) >= _MOST_PAGES:
                del self._results[next(iter(self._results))]
            self._results[page] = result


def page_of(request: Any, message: dict[str, Any] | None) -> Page | None:
    """Return the page that a `tools/list` request asks for; None for any other request."""
    if message is None or message.get("method") != "tools/list":
        return None
    parameters = message.get("params")
    cursor = parameters.get("cursor") if isinstance(parameters, dict) else None
    return str(request.url), None if cursor is None else str(cursor)


async def without_tokens(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same bytes with each token replaced, even if a token spans several pieces.

    Complete lines are yielded at once. A server-sent event ends with a line break, and no token contains a line
    break.
    """
    rest = b""
    async for piece in pieces:
        rest += piece
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
        if end:
            yield redacted((), rest[:end])
            rest = rest[end:]
        if len(rest) > _LONGEST_LINE:
            rest = redacted((), rest)
            yield rest[:-_LONGEST_TOKEN]
            rest = rest[-_LONGEST_TOKEN:]
    if rest:
        yield redacted((), rest)


class SafeBody:
    """The body of a response without tokens, as a stream of the HTTP library."""

    def __init__(self, received: Any, pieces: AsyncIterator[bytes]) -> None:
        self._received = received
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._received.aclose()
