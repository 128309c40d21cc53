"""Middleware that handles every request and response of the server. One class refuses requests of a restored backup.

The middleware is pure ASGI, so it buffers no body.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import IN_FLIGHT, IN_FLIGHT_LIMIT
from authsec_server.web.errors import error_response, retry_after, unexpected
from authsec_server.web.request_context import context_of, has_context, new_context, put_context
from authsec_server.web.request_counts import RefusedBefore, count_refused, count_request
from authsec_server.web.request_log import RequestLog, note

CLIENT_CLOSED: Final = 499  # the client has disconnected; nginx uses this status, too
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Contextualise:
    """The outermost middleware, which gives each request an id, and each response this id and security headers.

    The middleware also finds the client's address and logs each request. The log omits a successful request if
    its path begins with one of `quiet`. An unexpected error becomes a 500 response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        now: Callable[[], datetime],
        token_bytes: Callable[[int], bytes],
        trusted_proxies: tuple[str, ...],
        request_log: RequestLog,
        quiet: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._now = now
        self._token_bytes = token_bytes
        self._trusted_proxies = trusted_proxies
        self._request_log = request_log
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not has_context(scope):
            put_context(scope, new_context(scope, self._now(), self._token_bytes, self._trusted_proxies))
        answer = _Answer(send, scope)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            if not answer.status:
                count_request(scope.get("route"), CLIENT_CLOSED, context_of(scope).began)
            answer.status = CLIENT_CLOSED
        except Exception as error:
            failure = unexpected(Request(scope), error)
            if answer.status:  # the response has begun, so the server can only close the connection
                raise
            await failure(scope, receive, answer.send)
        if 200 <= answer.status < 400 and scope["path"].startswith(self._quiet):
            return
        self._request_log.write(scope, answer.status)


class _Answer:
    """A response in progress. The object records the status, and adds the request id and the security headers.

    The request is counted when the response begins: a stream lasts for hours, and a client may read slowly.
    """

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            context = context_of(self._scope)
            count_request(self._scope.get("route"), self.status, context.began)
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = context.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class ExpectedHosts:
    """Middleware that refuses a request whose Host header does not name this server.

    Stops DNS rebinding: an attacker's web page reaches a loopback server under the attacker's host name. The
    paths in `anywhere` accept any Host header, because health probes call a server by its IP address.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], anywhere: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._anywhere = frozenset(anywhere)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._anywhere:
            given = Headers(scope=scope).getlist("host")
            if len(given) != 1 or not is_one_of(self._hosts, given[0]):
                count_refused(RefusedBefore.HOST_NOT_ALLOWED)
                answer = error_response(
                    Request(scope),
                    HTTPStatus.MISDIRECTED_REQUEST,
                    reason="host_not_allowed",
                    error="This server does not accept requests for that host name.",
                    details="Use the server's public URL, or add the name to AUTHSEC_SERVER_ALLOWED_HOSTS.",
                )
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_one_of(hosts: frozenset[str], header: str) -> bool:
    """Whether the Host header names one of these hosts, which are in lower case. The port makes no difference."""
    return _without_port(header) in hosts


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host


_COUNTED: Final = "authsec.counted"  # key in the scope of a request that is already counted


class ConcurrencyLimit:
    """The number of requests that may be in progress at the same time."""

    def __init__(self, at_most: int) -> None:
        self._at_most = self._free = at_most
        self._in_flight = IN_FLIGHT.of()
        IN_FLIGHT_LIMIT.of().set(at_most)

    def acquire(self) -> bool:
        """Count a new request. At the limit, count nothing and return False."""
        if self._free <= 0:
            return False
        self._free -= 1
        self._in_flight.set(self._at_most - self._free)
        return True

    def acquire_for(self, scope: Scope) -> bool:
        """Do as `acquire`, and mark the request as counted in its scope, until `release_for` or `Bounded`."""
        if not self.acquire():
            return False
        scope[_COUNTED] = True
        return True

    def release_for(self, scope: Scope) -> None:
        """Do as `release` for a request that was counted by `acquire_for`."""
        del scope[_COUNTED]
        self.release()

    def release(self) -> None:
        """Stop counting a request, because it is answered."""
        self._free += 1
        self._in_flight.set(self._at_most - self._free)


class Bounded:
    """Middleware that answers 503 at once if too many requests are in progress.

    The paths in `always` do not count. Health paths are among them: an orchestrator must not restart a server
    only because the server is busy.
    """

    def __init__(self, app: ASGIApp, *, limit: ConcurrencyLimit, always: Collection[str]) -> None:
        self._app = app
        self._limit = limit
        self._always = frozenset(always)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._always:
            await self._app(scope, receive, send)
            return
        if not scope.pop(_COUNTED, False) and not self._limit.acquire():
            count_refused(RefusedBefore.OVERLOADED)
            note(scope, outage=RefusedBefore.OVERLOADED)
            answer = error_response(
                Request(scope),
                503,
                reason="unavailable",
                error="The server has too many requests.",
                details="Retry shortly.",
                retryable=True,
                headers={"Retry-After": "1"},
            )
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._limit.release()


OLDER_DATABASE: Final = (
    "The database is older than checkpoints that it signed, so the server issues no tokens and changes nothing."
)
OLDER_REMEDY: Final = (
    "If a backup was restored, the operator must run `authsec admin restored` on the server's machine: docs/backup.md."
)
OLDER_RETRY_SECONDS: Final = 5


def older_database_refusal() -> Unavailable:
    """Return the `Unavailable` failure for a refused request, with the remedy."""
    return Unavailable(OLDER_DATABASE, OLDER_REMEDY, retry_after=OLDER_RETRY_SECONDS)


class RefuseWhileOlder:
    """Middleware that refuses requests with 503 while `why` returns a reason.

    The reason: the database is older than checkpoints that are stored outside the database. Such a database is a
    restored backup: it lacks the revocations that came after the backup.

    The middleware still passes a request on if `reading(method, path)` returns true.
    """

    def __init__(self, app: ASGIApp, *, why: Callable[[], str | None], reading: Callable[[str, str], bool]) -> None:
        self._app = app
        self._why = why
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._why() or self._reading(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        count_refused(RefusedBefore.DATABASE_OLDER)
        note(scope, outage=RefusedBefore.DATABASE_OLDER)
        answer = error_response(
            Request(scope),
            503,
            reason=Unavailable.reason,
            error=OLDER_DATABASE,
            details=OLDER_REMEDY,
            retryable=True,
            headers=retry_after(OLDER_RETRY_SECONDS),
        )
        await answer(scope, receive, send)
