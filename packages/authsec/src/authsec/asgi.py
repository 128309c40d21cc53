"""ASGI middleware that lets only verified agents through (Starlette, FastAPI, and whatever else speaks ASGI 3).

    app.add_middleware(BearerAuth, verifier=TokenVerifier(issuer=…, audience=…))

    async def show(request):
        identity = identity_of(request)
        identity.require("customers:read")

Answers follow RFC 6750 §3, with a JSON body that a person, a program and a model can act on. It needs no framework.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from authsec.errors import ConfigError, InsufficientScope, KeysUnavailable, VerificationError
from authsec.verifier import TokenVerifier, VerifiedToken

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_UNQUOTABLE: Final = r"[^\x20-\x21\x23-\x5b\x5d-\x7e]"
_IDENTITY: Final = "authsec.identity"
_POLICY_VIOLATION: Final = 1008  # RFC 6455 §7.4.1


class HasScope(Protocol):
    """A request or WebSocket object of Starlette and its relatives."""

    @property
    def scope(self) -> Scope: ...


def identity_of(request: HasScope | Scope) -> VerifiedToken:
    """The agent that sent this request. Raises `LookupError` where nobody was verified, as on a public path."""
    scope = request if isinstance(request, MutableMapping) else request.scope
    identity = scope.get(_IDENTITY)
    if not isinstance(identity, VerifiedToken):
        raise LookupError("no verified token on this request: its path is public, or BearerAuth is not in front of it")
    return identity


class BearerAuth:
    """Verifies the bearer token of every HTTP request and WebSocket before `app` sees it.

    `public_paths` are let through unverified: whole paths, compared exactly. `realm` names the protected space in
    challenges, by default the verifier's audience. Tokens are taken from the Authorization header only, never from
    the query (RFC 9700 §4.3.2: URLs are logged). A CORS middleware belongs outside, since preflights carry no token.

    `InsufficientScope` raised by the endpoint becomes a 403. If this middleware wraps a whole Starlette application
    from outside, instead of being added to it, the application answers 500 first; then give it the handler
    `exception_handlers={InsufficientScope: answer_refusal}` too.
    """

    def __init__(
        self, app: App, *, verifier: TokenVerifier, public_paths: Collection[str] = (), realm: str | None = None
    ) -> None:
        if isinstance(public_paths, str):  # a collection of its characters, among them the path "/"
            raise ConfigError("public_paths must be a list of paths, like ['/healthz']", reason="public_paths_invalid")
        self._app = app
        self._verifier = verifier
        self._public_paths = frozenset(public_paths)
        self._realm = verifier.expected.audience if realm is None else realm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket", "lifespan"}:
            raise RuntimeError(f"BearerAuth does not know how to verify a {scope['type']} connection")
        if scope["type"] == "lifespan" or scope["path"] in self._public_paths:
            await self._app(scope, receive, send)
            return
        outcome = await self._identify(scope["headers"])
        if isinstance(outcome, VerifiedToken):
            scope[_IDENTITY] = outcome
            await self._let_in(scope, receive, send)
        else:
            await outcome(scope, receive, send)

    async def _identify(self, headers: Iterable[tuple[bytes, bytes]]) -> VerifiedToken | Refusal:
        try:
            token = _bearer_token(headers)
            return _no_token(self._realm) if token is None else await self._verifier.averify(token)
        except VerificationError as error:
            return refusal(error, self._realm)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        last = ""

        async def watched(message: Message) -> None:
            nonlocal last
            last = message["type"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except InsufficientScope as error:
            if last == "":
                await refusal(error, self._realm)(scope, receive, send)
            elif last in {"websocket.accept", "websocket.send"}:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.reason})
            else:  # the answer has begun: too late for another one, so the server must break it off
                raise


async def answer_refusal(request: Any, error: Any) -> Any:  # noqa: ARG001 - the signature that frameworks call
    """Exception handler for Starlette and FastAPI: `exception_handlers={VerificationError: answer_refusal}`.

    Untyped, since Starlette wants its own Response type there and takes any ASGI application.
    """
    return refusal(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An ASGI application that answers one refusal, also to a WebSocket that is not yet accepted."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: Mapping[str, Any]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing to read
        prefix = ""
        if scope["type"] == "websocket":
            prefix = "websocket."
            if "websocket.http.response" not in (scope.get("extensions") or {}):
                # Before the accept this makes the server answer 403 to the handshake.
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": self.body["reason"]})
                return
        content = json.dumps(self.body).encode()
        headers = (
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"cache-control", b"no-store"),
            *self.headers,
        )
        await send({"type": f"{prefix}http.response.start", "status": self.status, "headers": headers})
        await send({"type": f"{prefix}http.response.body", "body": content})


def refusal(error: VerificationError, realm: str | None = None) -> Refusal:
    """The answer to a failed verification: 401, 403, 400 or 503."""
    body = {"error": str(error), "reason": error.reason, "details": error.details, "retryable": error.retryable}
    if isinstance(error, KeysUnavailable):  # why they are unavailable is for our log, not for strangers
        body["error"] = "Tokens cannot be verified at the moment."
        retry_after = str(int(error.retry_after)).encode()
        return Refusal(status=error.status, headers=((b"retry-after", retry_after),), body=body)
    parameters = {"error": "invalid_token", "error_description": str(error)}
    if isinstance(error, InsufficientScope):
        body |= {"missing_actions": error.missing, "granted_actions": error.granted}
        sufficient = error.required[:1] if error.any_of else error.required
        parameters |= {"error": "insufficient_scope", "scope": " ".join(sufficient)}
    elif isinstance(error, _InvalidRequest):
        parameters["error"] = "invalid_request"
    return Refusal(status=error.status, headers=(_challenge(realm, parameters),), body=body)


class _InvalidRequest(VerificationError):
    """The request carries its token in a way that has more than one reading."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            reason="invalid_request",
            status=400,
            details="Send one header: Authorization: Bearer <delegation token>.",
        )


def _bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token (RFC 6750 §2.1), None if the request brings no bearer credentials; raises `_InvalidRequest`."""
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"authorization"]
    if len(values) > 1:  # whoever is behind us might read the other one
        raise _InvalidRequest("The request has several Authorization headers.")
    scheme, _, token = values[0].partition(" ") if values else ("", "", "")
    if scheme.lower() != "bearer":
        return None
    token = token.strip(" ")
    if not token or " " in token or "," in token:
        raise _InvalidRequest("The Authorization header does not hold exactly one bearer token.")
    return token


def _no_token(realm: str) -> Refusal:
    """RFC 6750 §3.1: to a request without credentials, the challenge names no error."""
    body = {
        "error": "This API needs a delegation token.",
        "reason": "token_missing",
        "details": "Send the header Authorization: Bearer <delegation token>.",
        "retryable": False,
    }
    return Refusal(status=401, headers=(_challenge(realm, {}),), body=body)


def _challenge(realm: str | None, parameters: Mapping[str, str]) -> tuple[bytes, bytes]:
    given = {**({} if realm is None else {"realm": realm}), **parameters}
    # RFC 6750 §3 allows these characters; the others could end the quoted string or the header.
    quoted = ", ".join(f'{name}="{re.sub(_UNQUOTABLE, "?", value)}"' for name, value in given.items())
    return b"www-authenticate", f"Bearer {quoted}".encode("ascii")
