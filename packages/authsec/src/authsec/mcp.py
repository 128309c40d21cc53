"""Protect MCP servers of the package `mcp` (1.30 and 2).

    verifier = TokenVerifier(issuer=…, audience="https://crm.example.com/mcp")
    server = MCPServer("crm", **protected_by(verifier))
    tools = ToolActions()

    @server.tool()
    @tools.require("customers:read")
    def show_customer(id: str) -> str: ...

    app = BearerAuth(tools.guard(server.streamable_http_app()), verifier=verifier)

The last line makes the error responses. `BearerAuth` tells the caller why a token is refused; `mcp` itself does not.
While tokens cannot be verified, `mcp` alone answers 500. `guard` answers 403 to a call of a tool that needs more
actions than the token has. An OAuth client then requests a token with these actions, and repeats the call. Tokens that
are bound to a key need `BearerAuth`, because `mcp` knows only bearer tokens. In `mcp` 1.30 the server class is
`FastMCP`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import PrivateAttr

from authsec import asgi
from authsec.asgi import App, Message, Receive, Scope, Send
from authsec.errors import AgentRequired, ConfigError, InsufficientScope, InvalidToken
from authsec.gate import IDENTITY, agent_in
from authsec.resource_metadata import ResourceMetadata
from authsec.verifier import VerifiedToken, Verifier
from authsec.verifier.token import check_actions

try:
    from mcp.server.mcpserver.exceptions import ToolError
except ModuleNotFoundError:  # mcp 1.30
    from mcp.server.fastmcp.exceptions import ToolError  # type: ignore[import-not-found, no-redef] # only one of two mcp versions is installed

Function = TypeVar("Function", bound=Callable[..., Any])

_LONGEST_CALL: Final = 4 * 1024 * 1024  # bytes: the limit of `mcp` 2 for a request


class _Verified(NamedTuple):
    """The token of the current request, and the agent that `BearerAuth` has verified."""

    token: str
    identity: VerifiedToken


_VERIFIED: Final[ContextVar[_Verified | None]] = ContextVar("authsec_mcp_verified", default=None)


class BearerAuth(asgi.BearerAuth):
    """`BearerAuth` of `authsec.asgi`, around an MCP server. A token may be bound to a key.

    `mcp` reads only bearer tokens, and a DPoP proof can be verified only once. So `mcp` gets the verified token of
    this very request as a bearer token.
    """

    async def _call_app(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        identity = scope.get(IDENTITY)
        if not isinstance(identity, VerifiedToken) or identity.key_thumbprint is None:
            await super()._call_app(scope, receive, send)
            return
        (sent,) = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        token = sent.partition(b" ")[2].strip(b" ")
        others = [header for header in scope["headers"] if header[0].lower() not in {b"authorization", b"dpop"}]
        restated = {**scope, "headers": [*others, (b"authorization", b"Bearer " + token)]}
        reset = _VERIFIED.set(_Verified(token.decode("latin-1"), identity))
        try:
            await super()._call_app(restated, receive, send)
        finally:
            _VERIFIED.reset(reset)


class AgentToken(AccessToken):
    """The calling agent, in the form that `mcp` needs.

    The object does not contain the token, so no tool can pass the token on.
    """

    _identity: VerifiedToken = PrivateAttr()

    @classmethod
    def of(cls, identity: VerifiedToken, audience: str) -> AgentToken:
        made = cls(
            token="",  # left out on purpose, because pydantic shows the field in every repr
            client_id=identity.client_id,
            scopes=sorted(identity.permissions),
            expires_at=int(identity.expires_at.timestamp()),
            resource=audience,
            subject=identity.agent,
            claims=dict(identity.claims),
        )
        made._identity = identity
        return made

    @property
    def identity(self) -> VerifiedToken:
        return self._identity


class AgentTokenVerifier:
    """A token verifier for `mcp` (`mcp.server.auth.provider.TokenVerifier`) that uses a verifier of this package."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify_token(self, token: str) -> AgentToken | None:
        """Verify the token. Return None for an invalid token; `mcp` then answers 401.

        Raises `VerificationUnavailable` if tokens cannot be verified; `mcp` then answers 500. If `BearerAuth` wraps
        the server, `BearerAuth` has already answered 503.
        """
        if (verified := self._verified_before(token)) is not None:
            return AgentToken.of(verified, self._verifier.audience)
        try:
            identity = await self._verifier.averify(token)
        except InvalidToken:
            return None  # `mcp` cannot pass on the reason.
        return AgentToken.of(identity, self._verifier.audience)

    def _verified_before(self, token: str) -> VerifiedToken | None:
        """Return the agent that `BearerAuth` has verified for this request, if this verifier would accept its token."""
        verified = _VERIFIED.get()
        if verified is None or verified.token != token:
            return None
        found = verified.identity
        accepted = self._verifier.audience in found.audience and found.issuer in self._verifier.issuers
        return found if accepted and self._verifier.accepts_dpop else None


def protected_by(verifier: Verifier, *actions: str) -> dict[str, Any]:
    """Return the arguments that protect a server. An agent needs all of `actions` for any request to the server.

    The verifier's audience must be the server's URL with its path, because `mcp` publishes this URL (RFC 9728).
    Raises `ConfigError` for an audience that is no URL.
    """
    if ResourceMetadata.of(verifier.issuers, verifier.audience) is None:
        raise ConfigError(
            "For MCP the audience must be the server's address, like https://crm.example.com/mcp",
            reason="audience_invalid",
        )
    settings = {
        "issuer_url": verifier.issuers[0],  # `mcp` publishes only one authority.
        "resource_server_url": verifier.audience,
        "required_scopes": list(actions),
        # mcp 1.30 ignores this setting. `AgentTokenVerifier` has then already checked the audience.
        "validate_token_resource": True,
    }
    return {"token_verifier": AgentTokenVerifier(verifier), "auth": AuthSettings.model_validate(settings)}


def identity() -> VerifiedToken:
    """Return the agent that calls the tool. Raises `AgentRequired` without a verified agent, for example over stdio."""
    access = get_access_token()
    if not isinstance(access, AgentToken):
        raise AgentRequired
    return access.identity


def require(*actions: str, any_of: bool = False) -> VerifiedToken:
    """Return the calling agent if its token has all of `actions` or, with `any_of`, one of them.

    Otherwise raises a `ToolError`: the model reads the missing actions and the next step. `mcp` 2 does not show
    the text of any other exception to the model.
    """
    agent = identity()
    try:
        (agent.require_any if any_of else agent.require)(*actions)
    except InsufficientScope as error:
        raise ToolError(f"{error} {error.for_model}") from None
    return agent


class ToolActions:
    """The actions that each tool of an MCP server needs.

    `require` is a decorator for the tool's function. The tool itself checks the token, over every transport. `guard`
    also checks it before the server reads the call, and answers 403 as the MCP specification says.
    """

    def __init__(self) -> None:
        self._needed: dict[str, tuple[str, ...]] = {}

    def require(self, *actions: str, tool: str = "") -> Callable[[Function], Function]:
        """Admit only agents whose token has all of `actions`. Put this decorator below that of the server.

        `tool` is the tool's name, if it differs from the function's. The model reads a refusal as the tool's text.
        Raises `ValueError` without any action, or for a text that is not an action.
        """
        check_actions(actions)

        def decorate(function: Function) -> Function:
            self._needed[tool or function.__name__] = actions

            @wraps(function)
            def call(*arguments: Any, **named: Any) -> Any:
                require(*actions)
                return function(*arguments, **named)

            @wraps(function)
            async def acall(*arguments: Any, **named: Any) -> Any:
                require(*actions)
                return await function(*arguments, **named)

            return acall if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value] # the same signature

        return decorate

    def guard(self, app: App) -> App:
        """Wrap the server: a call of a tool that needs more actions gets 403. `BearerAuth` must wrap the result."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                body, receive = await _peeked(receive)
                self._check(scope, body)
            await app(scope, receive, send)

        return guarded

    def _check(self, request: Scope, body: bytes) -> None:
        needed = self._needed.get(_tool_called(body))
        try:
            agent = agent_in(request)
        except LookupError:
            return  # `BearerAuth` does not wrap the server, so only the tool can check the token.
        if agent is None or needed is None:
            return
        try:
            agent.require(*needed)
        except InsufficientScope as error:
            # A client that asks for this scope keeps the actions that it has.
            more = InsufficientScope(
                required=(*error.granted, *error.missing),
                granted=error.granted,
                grant_at=error.grant_at,
                audience=agent.audience,
            )
            more.scheme = error.scheme
            raise more from None


async def _peeked(receive: Receive) -> tuple[bytes, Receive]:
    """Return the request's body, and a `receive` that gives the same body to the server.

    A body that is too long is not read to its end. The server refuses it.
    """
    messages: list[Message] = []
    body, more = b"", True
    while more and len(body) <= _LONGEST_CALL:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return body, again


def _tool_called(body: bytes) -> str:
    """Return the name of the tool that a JSON-RPC message calls; "" for any other message."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(message, Mapping) or message.get("method") != "tools/call":
        return ""
    parameters = message.get("params")
    name = parameters.get("name") if isinstance(parameters, Mapping) else None
    return name if isinstance(name, str) else ""
