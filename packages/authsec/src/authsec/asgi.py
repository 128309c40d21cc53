"""ASGI 3 middleware that admits only verified agents (Starlette, FastAPI and others).

    app.add_middleware(BearerAuth, verifier=TokenVerifier(issuer=…, audience=…))

    async def show(request):
        identity = identity_of(request)
        identity.require("customers:read")

The module needs no framework. `authsec.gate` makes the decisions and the responses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack
from urllib.parse import quote

from authsec.gate import ANSWERED, Gate, GateSettings, Response, agent_in, identity_in, response_to
from authsec.verifier import VerifiedToken, Verifier

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1


class HasScope(Protocol):
    """A request or WebSocket object of Starlette or of a framework based on Starlette."""

    @property
    def scope(self) -> Scope: ...


def identity_of(request: HasScope | Scope) -> VerifiedToken:
    """Return the verified agent that sent this request.

    Raises `LookupError` if the request has no verified agent, for example on a public path. With
    `other_issuers="pass"`, a request may pass to the API's own authentication. For such a request this function
    raises `AgentRequired`, which becomes a 401.
    """
    return identity_in(_scope_of(request))


def agent_of(request: HasScope | Scope) -> VerifiedToken | None:
    """Return the verified agent, or None if the request was passed to the API's own authentication.

    Use this function in endpoints that serve agents and other callers.
    """
    return agent_in(_scope_of(request))


def _scope_of(request: HasScope | Scope) -> Scope:
    return request if isinstance(request, MutableMapping) else request.scope


class BearerAuth:
    """Verifies the bearer token of every HTTP request and WebSocket before `app` handles the request.

    `authsec.gate.GateSettings` explains the settings. Put a CORS middleware outside this middleware, because
    preflight requests carry no token.

    An `InsufficientScope` that the endpoint raises becomes a 403. This works if you add the middleware with
    `add_middleware`. If you wrap a whole Starlette application instead, Starlette turns the error into a 500
    first. In this case, also pass `exception_handlers={InsufficientScope: answer_refusal}` to the application.
    """

    def __init__(self, app: App, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
        self._app = app
        self._gate = Gate(verifier=verifier, **settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket", "lifespan"}:
            raise RuntimeError(f"BearerAuth does not know how to verify a {scope['type']} connection")
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        entered = await self._gate.aenter(
            scope["path"], _sent(scope, b"authorization"), lambda: _dpop_request(scope), prefix=_prefix(scope)
        )
        if isinstance(entered, Response):
            await Refusal(answer=entered)(scope, receive, send)
            return
        self._gate.keep(scope, entered)
        await self._call_app(scope, receive, send)

    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        last = ""

        async def watched(message: Message) -> None:
            nonlocal last
            last = message["type"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ANSWERED as error:
            if last == "":
                await Refusal(answer=self._gate.refuse(error))(scope, receive, send)
            elif last in {"websocket.accept", "websocket.send"}:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.reason})
            else:  # The response has already begun, so the server must close the connection.
                raise


async def answer_refusal(request: Any, error: Any) -> Any:  # noqa: ARG001 - the signature that frameworks call
    """Turn a `VerificationError` into a response: `exception_handlers={VerificationError: answer_refusal}`.

    Use this handler in Starlette and FastAPI. The types are `Any`, because Starlette declares its own Response
    type for a handler's result but accepts any ASGI application.
    """
    return Refusal(answer=response_to(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An ASGI application that sends one response, even to a WebSocket before it is accepted."""

    answer: Response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the response needs no request body
        prefix = ""
        if scope["type"] == "websocket":
            prefix = "websocket."
            if "websocket.http.response" not in (scope.get("extensions") or {}):
                # If the WebSocket is not accepted yet, the server answers the handshake with 403.
                reason = self.answer.body.get("reason", "")
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
                return
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in self.answer.all_headers()]
        await send({"type": f"{prefix}http.response.start", "status": self.answer.status, "headers": headers})
        await send({"type": f"{prefix}http.response.body", "body": self.answer.content})


def _sent(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == header]


def _prefix(scope: Scope) -> str:
    """Return the prefix that the server, the framework or a mount adds to the API's paths.

    A mount like "/{tenant}" has path parameters, so its caller chooses the prefix. Such a prefix is ignored.
    """
    return "" if scope.get("path_params") else scope.get("root_path", "")


def _dpop_request(scope: Scope) -> DpopRequest:
    """Describe the request of a token that is bound to a key. The handshake of a WebSocket is a GET request."""
    from authsec.verifier.key_binding import DpopRequest, sent_path  # only APIs that use it wait for the import

    path, sent, prefix = scope["path"], scope.get("raw_path") or b"", scope.get("root_path", "")
    if not f"{path}/".startswith(f"{prefix}/"):  # A proxy has removed the prefix, and only the framework has it.
        path, sent = prefix + path, quote(prefix).encode() + sent
    path = sent_path(path.encode(), sent)
    return DpopRequest(method=scope.get("method", "GET"), path=path, proofs=_sent(scope, b"dpop"))
