"""ASGI 3 middleware that admits only verified agents (Starlette, FastAPI and others).

    app.add_middleware(BearerAuth, verifier=TokenVerifier(issuer=…, audience=…))

    async def show(request):
        identity = identity_of(request)
        identity.require("customers:read")

The module needs no framework. `authsec.gate` makes the decisions and the responses.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack
from urllib.parse import quote

from authsec import traces
from authsec.errors import ConfigError
from authsec.gate import ANSWERED, Gate, GateSettings, Response, agent_in, identity_in, response_to
from authsec.resource_metadata import metadata_of
from authsec.safe_text import plain
from authsec.verifier import VerifiedToken, Verifier

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("authsec.asgi")

_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1
_SERVER_ERROR: Final = 500
_PUBLISHED: Final = "authsec.metadata"
"""The name of an entry in the ASGI scope: the paths of metadata that an outer application serves."""
_OUTSIDE_OF_MOUNT: Final = (
    "the metadata URL %s is outside the mount %s of this application, so clients get 404 there. Add the middleware "
    "authsec.asgi.MetadataEndpoint with this verifier to the outer application, move BearerAuth there, or set "
    "publish_metadata=False"
)


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

    An `InsufficientScope` that an endpoint raises becomes a 403, also in a mounted application.
    """

    def __init__(self, app: App, *, verifier: Verifier, **settings: Unpack[GateSettings]) -> None:
        self._app = app
        self._gate = Gate(verifier=verifier, **settings)
        self._is_mount_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket", "lifespan"}:
            raise RuntimeError(f"BearerAuth does not know how to verify a {scope['type']} connection")
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self._publish(scope)
        decision = self._gate.aenter(
            scope["path"], _sent(scope, b"authorization"), lambda: _dpop_request(scope), prefix=_prefix(scope)
        )
        entered = await traces.averified(decision, lambda: _sent(scope, b"traceparent"))
        if isinstance(entered, Response):
            await Refusal(answer=entered)(scope, receive, send)
            return
        self._gate.keep(scope, entered)
        await self._call_app(scope, receive, send)

    def _publish(self, scope: Scope) -> None:
        """Note the metadata for applications inside this one. Log once if no client can reach the metadata."""
        path = self._gate.metadata_path
        if path is None:
            return
        outer = scope.get(_PUBLISHED, ())
        scope[_PUBLISHED] = (*outer, path)
        if not self._is_mount_checked:
            self._is_mount_checked = True
            root_path = scope.get("root_path", "")
            # Starlette sets `app_root_path` at a mount, to the prefix of the outermost application.
            if scope.get("app_root_path", root_path) != root_path and path not in outer:
                _log.warning(_OUTSIDE_OF_MOUNT, self._gate.space.metadata_url, plain(root_path, 200))

    async def _call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = _Sender(send)
        try:
            await self._app(scope, receive, sender)
        except ANSWERED as error:
            if sender.last == "":
                await Refusal(answer=self._gate.refuse(error))(scope, receive, send)
            elif sender.last in {"websocket.accept", "websocket.send"}:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.reason})
            else:  # The response has already begun, so the server must close the connection.
                raise
        except Exception:
            await sender.release()
            raise
        else:
            await sender.release()


class _Sender:
    """Sends the messages of an application, but holds back the begin of a server error.

    A mounted Starlette or FastAPI application sends a 500 for an unknown error, and then raises the error. If the error
    is a refusal, the middleware drops the 500. `last` is the type of the last message that was sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self.last = ""

    async def __call__(self, message: Message) -> None:
        if self.last == "" and self._is_begin_of_error(message):
            self._held.append(message)
            return
        await self.release()
        self.last = message["type"]
        await self._send(message)

    def _is_begin_of_error(self, message: Message) -> bool:
        """Whether the message belongs to the start and the first content of a response with a status from 500.

        Starlette's `BaseHTTPMiddleware` sends the content of such a response, and then an empty end.
        """
        if not self._held:
            return bool(message["type"] == "http.response.start" and message["status"] >= _SERVER_ERROR)
        if message["type"] != "http.response.body":
            return False
        return not message.get("body") or not any(held.get("body") for held in self._held)

    async def release(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, []
        for message in held:
            self.last = message["type"]
            await self._send(message)


class MetadataEndpoint:
    """Serves the metadata of an API (RFC 9728) with its `BearerAuth` in a mounted application.

    Add this middleware to the outer application, because the metadata's URL is outside the mount.
    """

    def __init__(self, app: App, *, verifier: Verifier, actions: Sequence[str] = ()) -> None:
        metadata = metadata_of(verifier, actions)
        if metadata is None:
            raise ConfigError(
                "MetadataEndpoint needs a verifier with a URL as audience: other APIs have no metadata",
                reason="audience_invalid",
            )
        self._app = app
        self._path = metadata.path
        self._answer = Refusal(answer=Response(status=200, body=metadata.document))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in {self._path, _prefix(scope) + self._path}:
            await self._answer(scope, receive, send)
            return
        scope[_PUBLISHED] = (*scope.get(_PUBLISHED, ()), self._path)
        await self._app(scope, receive, send)


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
