"""Answer the usual token request in the HTTP protocol, without the ASGI application.

Without the signature, the application takes several times as long as all other steps of a token request.
Only a granted token is answered here. The application answers all other requests:

- an unusual request, before anything is charged or recorded;
- a request that got no token, with the recorded outcome.

Both ways give the same answers under the same limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from authsec.traces import sampled_parent
from starlette.datastructures import QueryParams
from starlette.types import Scope

from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import REQUESTS, TOKEN_REQUESTS
from authsec_server.tokens.issue import DelegationTokens, PendingToken
from authsec_server.tokens.refusal import Denied
from authsec_server.tokens.request import PATH, TokenRequest, evidence_in, parse
from authsec_server.web.middleware import SECURITY_HEADERS, ConcurrencyLimit
from authsec_server.web.request_context import RequestContext, context_of, put_context
from authsec_server.web.request_counts import SUCCESS, microseconds_since
from authsec_server.web.request_log import RequestLog

DOOR: Final = "delegation_token"  # this endpoint in metrics; tokens/token_endpoint.py is the other
GRANTED: Final = "granted"
MAX_QUERY: Final = 256  # octets of a query whose result is cached
_BEGUN: Final = "authsec.token_request"
_CLIENT: Final = "authsec.client_id"
# A request with one of these has a body, asks for another protocol, or names its client in a header.
_UNUSUAL: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"x-client-id"})
_HEADERS: Final = (
    b"cache-control: no-store\r\ncontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %b\r\n"
)
_ALWAYS: Final = "".join(f"{name.lower()}: {value}\r\n" for name, value in SECURITY_HEADERS.items()).encode() + b"\r\n"


class DirectTokens:
    """Answers requests for delegation tokens.

    `admits` returns whether the server accepts requests with this Host header now. `new_context` makes the context of
    a request. `limit` limits the number of concurrent requests to the server. With `is_traced`, the
    application answers requests whose caller records a trace.
    """

    def __init__(
        self,
        tokens: DelegationTokens,
        *,
        admits: Callable[[str], bool],
        new_context: Callable[[Scope], RequestContext],
        limit: ConcurrencyLimit,
        request_log: RequestLog,
        is_traced: bool = False,
    ) -> None:
        self._tokens = tokens
        self._admits = admits
        self._new_context = new_context
        self._limit = limit
        self._request_log = request_log
        self._is_traced = is_traced
        self._granted = TOKEN_REQUESTS.of(DOOR, GRANTED)
        self._answered = REQUESTS.of(PATH, SUCCESS)

    def begin(self, scope: Scope) -> asyncio.Future[Any] | None:
        """Begin to issue the token. Return None, without any effect, if the application must answer the request."""
        if scope["path"] != PATH or scope["method"] != "GET":
            return None
        headers = _headers(scope)
        if headers is None or b"host" not in headers or not self._admits(headers[b"host"].decode("latin-1")):
            return None
        if self._is_traced and sampled_parent(headers.get(b"traceparent", b"").decode("latin-1")):
            return None
        context = self._new_context(scope)
        request = _request(scope["query_string"], headers.get(b"authorization"), context)
        if request is None or not self._limit.acquire_for(scope):
            return None
        scope[_BEGUN] = begun = None
        try:
            scope[_BEGUN] = begun = self._tokens.begin(request)
        finally:
            if begun is None:
                self._limit.release_for(scope)
        if begun is None:
            return None
        put_context(scope, context)
        return begun.done

    def answer(self, scope: Scope) -> bytes | None:
        """Return headers and body of the answer. Return None if the application must answer the request."""
        try:
            issued = scope[_BEGUN].issued()
        except Unavailable:
            return None  # the application tries once more, and answers
        if issued is None:
            return None
        scope[_CLIENT] = scope[_BEGUN].request.client_id
        del scope[_BEGUN]  # an idle connection keeps the scope of its last request
        self._limit.release_for(scope)
        self._granted.add()
        body: bytes = issued.answer
        return b"".join((_HEADERS % (len(body), context_of(scope).request_id.encode()), _ALWAYS, body))

    def answered(self, scope: Scope) -> None:
        """Count and log the request after its answer was written."""
        self._answered.add(microseconds_since(context_of(scope).began))
        self._request_log.write_granted(scope, PATH, scope[_CLIENT])


def was_tried(scope: Scope) -> bool:
    """Whether `DirectTokens` has tried to begin this token request."""
    return _BEGUN in scope


def take_begun(scope: Scope) -> PendingToken | None:
    """Return the token request that `DirectTokens` has begun, and remove it from the scope. None if there is none.

    The attack: a stranger sends refused requests for a client with many delegations, and keeps the connections open.
    An idle connection keeps the scope of its last request, so each connection would keep a copy of the client's facts.
    """
    begun: PendingToken | None = scope.get(_BEGUN)
    if begun is not None:
        scope[_BEGUN] = None
    return begun


def _headers(scope: Scope) -> Mapping[bytes, bytes] | None:
    """Return the headers by name. Return None for an unusual header, or for a second Host or Authorization header."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _UNUSUAL or (name in found and name in {b"host", b"authorization"}):
            return None
        found[name] = value
    return found


def _request(query: bytes, authorization: bytes | None, context: RequestContext) -> TokenRequest | None:
    asked = _asked(query) if len(query) <= MAX_QUERY else _asked.__wrapped__(query)
    if asked is None:
        return None
    return TokenRequest(
        client_id=asked.client_id,
        actions=asked.actions,
        resources=asked.resources,
        evidence=evidence_in([] if authorization is None else [authorization.decode("latin-1")]),
        address=context.address,
        request_id=context.request_id,
    )


@lru_cache(maxsize=2048)
def _asked(query: bytes) -> TokenRequest | None:
    """Return the request that the query contains, without the headers. Return None for a refused query."""
    parsed = parse(QueryParams(query).multi_items(), [], [], address="", request_id="")
    return None if isinstance(parsed, Denied) else parsed
