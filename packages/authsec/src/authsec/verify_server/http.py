"""The server as an ASGI application.

| path | for |
|---|---|
| `/verify?require=…` | proxies with a configurable address (nginx, haproxy, Traefik, Caddy); 204 accepts the request |
| `/verify/require=…/` and any path below | Envoy, which adds a prefix to the request's path; 200 accepts the request |
| `/open` | Traefik, for public paths: always 200. Only after such a request, Traefik removes forged headers |
| `/healthz` | monitoring |
| `/.well-known/oauth-protected-resource` and below | agents: the challenge contains this address (RFC 9728) |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from authsec.asgi import Receive, Refusal, Scope, Send
from authsec.gate import Gate, Response
from authsec.resource_metadata import WELL_KNOWN
from authsec.verifier import VerifiedToken
from authsec.verify_server.decision import REQUEST_HEADERS, Gates, Misconfigured, path_of
from authsec.verify_server.identity_headers import identity_headers

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

_VERIFY: Final = "/verify"
# Headers with the requested path. nginx, haproxy and Caddy send the first, Traefik sends the second.
_TARGETS: Final = ("x-original-uri", "x-forwarded-uri")

_ENDING: Final = Response(
    status=503,
    headers=(("retry-after", "1"),),
    body={
        "error": "Tokens cannot be verified right now.",
        "reason": "verify_server_ending",
        "details": "authsec verify-server is stopping or restarting.",
        "retryable": True,
    },
)
_OPEN: Final = Response(status=200, body={"status": "open"})
_NOTHING_HERE: Final = Response(
    status=404,
    body={
        "error": "This address has no metadata.",
        "reason": "not_found",
        "details": "If the API has metadata, its challenges name the address.",
        "retryable": False,
    },
)


class VerifyApp:
    """The ASGI application that answers proxies. `health` may wait, so it runs in a thread."""

    def __init__(self, gates: Gates, health: Callable[[], Response]) -> None:
        self._gates = gates
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"verify-server does not accept {scope['type']} connections")
        try:
            decided = await self._decide(scope)
        except asyncio.CancelledError:  # At shutdown, uvicorn cancels requests that take too long.
            decided = _ENDING
        if isinstance(decided, Response):
            await Refusal(answer=decided)(scope, receive, send)
            return
        passes = 204 if scope["path"] == _VERIFY else 200  # Envoy accepts only 200 as a permission.
        length = [] if passes == 204 else [("content-length", "0")]
        told = [*identity_headers(decided), ("cache-control", "no-store"), *length]
        headers = [(name.lower().encode(), value.encode("ascii")) for name, value in told]
        await send({"type": "http.response.start", "status": passes, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _decide(self, scope: Scope) -> VerifiedToken | Response:
        path: str = scope["path"]
        # The path as it was sent: a percent-encoded slash must not divide a segment.
        raw = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        if path == _VERIFY:
            query = scope["query_string"].decode("latin-1")
            target = "".join(_sent(scope, *_TARGETS)[:1])
            return await self._gates.decide(query, _sent(scope, "authorization"), partial(_described, scope), target)
        if raw.startswith(f"{_VERIFY}/"):
            # The proxy wrote the first segment. The caller wrote all that follows, so it does not affect the decision.
            _, _, query, *rest = raw.split("/")
            target = f"/{'/'.join(rest)}"
            asked = partial(_of_envoy, scope, target)
            return await self._gates.decide(query, _sent(scope, "authorization"), asked, target)
        if path == "/open":
            return _OPEN
        if path == "/healthz":
            return await asyncio.to_thread(self._health)
        if path.startswith(WELL_KNOWN):
            return self._metadata(path, scope["query_string"].decode("latin-1"))
        return self._gates.misconfigured(
            Misconfigured(f"the requested path does not exist; this server has only {_VERIFY} and /healthz")
        )

    def _metadata(self, path: str, query: str) -> Response:
        """Return the metadata that a gate publishes at this path.

        If gates for several hosts publish metadata at the same path, the parameter `audience` of the query selects
        one gate.
        """
        (audience,) = parse_qs(query).get("audience", [None])[:1]
        try:
            gates = list(self._gates.gates.values()) if audience is None else [self._gates.gate_of(audience)]
        except Misconfigured as error:
            return self._gates.misconfigured(error, key="audience of metadata")
        found = [document for gate in gates if (document := _public(gate, path)) is not None]
        if len(found) > 1:
            return self._gates.misconfigured(
                Misconfigured("several APIs have their metadata at this path: add audience=")
            )
        return found[0] if found else _NOTHING_HERE


def _public(gate: Gate, path: str) -> Response | None:
    entered = gate.enter(path, ())
    return entered if isinstance(entered, Response) and entered.status == 200 else None


def _sent(scope: Scope, *names: str) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.decode("latin-1") in names]


def _described(scope: Scope, parameter: str | None) -> DpopRequest:
    """Return the caller's request from the headers that the proxy sets. Raises `Misconfigured`.

    The query names these headers, because only the proxy's configuration writes the query. Some proxies pass on all
    headers of the caller. Without the name, the caller could set the headers, and use a stolen proof elsewhere.
    """
    from authsec.verifier.key_binding import DpopRequest  # only servers with --dpop-origin wait for the import

    if parameter is None:
        raise Misconfigured(
            "a request has a token by the scheme DPoP: add dpop=original, and its headers",
            told="This API cannot check tokens by the scheme DPoP, because its proxy does not describe the request.",
        )
    names = REQUEST_HEADERS[parameter]
    methods, targets = (_sent(scope, name) for name in names)
    if len(methods) != 1 or len(targets) != 1:
        raise Misconfigured(f"with dpop={parameter}, the proxy must send {' and '.join(names)} once")
    return DpopRequest(method=methods[0], path=path_of(targets[0]), proofs=_sent(scope, "dpop"))


def _of_envoy(scope: Scope, target: str, _: str | None) -> DpopRequest:
    """Return the caller's request. Envoy asks with its method and, after the prefix, with its path."""
    from authsec.verifier.key_binding import DpopRequest  # only servers with --dpop-origin wait for the import

    return DpopRequest(method=scope["method"], path=target, proofs=_sent(scope, "dpop"))
