"""The line of each request in the server's log. Rooms add notes to it: the client, the reason of a refusal.

A note has no text of a stranger: a `client_id` only after the client was found, a reason only from this program.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Final, cast
from urllib.parse import quote

import structlog
from starlette.types import Scope

from authsec_server.failures import Fault, Unavailable
from authsec_server.web.outages import Outages
from authsec_server.web.request_context import context_of
from authsec_server.web.request_counts import NO_ROUTE

log = structlog.get_logger(__name__)

MAX_LOGGED: Final = 200
# AuthSec's keys and secrets, and JWTs. A person may write a key in a path instead of the key's name.
_SECRET = re.compile(r"authsec_[A-Za-z0-9_-]{40,}|eyJ[A-Za-z0-9_-]{20,}(\.[A-Za-z0-9_-]*)*")
_NOTES: Final = "authsec.log"
_GRANTED: Final = "authsec.granted"
_FAILURE: Final = "authsec.failure"
_UNAVAILABLE: Final = 503
_LONGEST_KIND: Final = 300  # characters


def note(scope: Scope, **fields: str) -> None:
    """Add these fields to the line of the request."""
    notes: dict[str, str] = scope.setdefault(_NOTES, {})
    notes.update(fields)


def note_reason(scope: Scope, reason: str) -> None:
    """Add the reason of the refusal, unless a more exact reason was added: a caller may not see each reason."""
    scope.setdefault(_NOTES, {}).setdefault("reason", reason)


def notes_of(scope: Scope) -> dict[str, str]:
    """Return the fields that were added to the line of the request."""
    return cast("dict[str, str]", scope.get(_NOTES) or {})


def note_granted(scope: Scope, client_id: str) -> None:
    """Add the client to the line of a token request that was granted. The setting log_granted may omit the line."""
    scope[_GRANTED] = True
    note(scope, client_id=client_id)


def note_failure(scope: Scope, failure: Unavailable) -> None:
    """Say why the answer to this request is 503. The log then has the failure once for each outage."""
    scope[_FAILURE] = failure
    note(scope, outage=failure.message if failure.fault is Fault.UNKNOWN else failure.fault)


class RequestLog:
    """Writes one line for each request. Lines of a 503 answer are written once for each outage.

    `granted` is the share of lines about granted token requests. Exactly every n-th such line of this process is
    written, so the number of lines times n is the number of tokens.
    """

    def __init__(self, granted: float = 1.0, outages: Outages | None = None) -> None:
        self.outages = outages or Outages()
        self._granted = granted
        self._due = 0.0

    def write(self, scope: Scope, status: int) -> None:
        """Log a request that was answered."""
        if scope.get(_GRANTED) and status == 200 and not self._is_due():
            return
        notes = notes_of(scope)
        if status == _UNAVAILABLE and not self.outages.add(_kind_of(scope, notes)):
            log.debug("request", **_fields(scope, status), **notes)
            return
        failure: Unavailable | None = scope.get(_FAILURE)
        if failure is not None and status == _UNAVAILABLE:
            log.error(
                "unavailable",
                message=failure.message,
                fault=failure.fault,
                request_id=context_of(scope).request_id,
                cause=repr(failure.__cause__),
            )
        write = log.info if status < 400 or status == 499 else log.warning if status < 500 else log.error
        write("request", **_fields(scope, status), **notes)

    def write_granted(self, scope: Scope, route: str, client_id: str) -> None:
        """Log a token request that was granted. This is `write` without what such a request never has."""
        if self._is_due():
            context = context_of(scope)
            self._info(
                "request",
                request_id=context.request_id,
                method=scope["method"],
                route=route,
                status=200,
                ms=round((time.perf_counter() - context.began) * 1000, 1),
                client_id=client_id,
            )

    @cached_property
    def _info(self) -> Callable[..., Any]:
        """Return the method that writes a line. A busy server calls it thousands of times a second."""
        return cast("Callable[..., Any]", log.bind().info)

    def _is_due(self) -> bool:
        self._due += self._granted
        if self._due < 1.0:
            return False
        self._due -= 1.0
        return True


def _kind_of(scope: Scope, notes: dict[str, str]) -> str:
    """Return which outage this 503 answer belongs to. Failures with the same message may have different causes."""
    kind = notes.get("outage") or notes.get("reason") or "unknown"
    failure: Unavailable | None = scope.get(_FAILURE)
    if failure is None or failure.fault is not Fault.UNKNOWN or failure.__cause__ is None:
        return kind
    return f"{kind} {failure.__cause__}"[:_LONGEST_KIND]


def _fields(scope: Scope, status: int) -> dict[str, Any]:
    context, path = context_of(scope), scope["path"]
    route = getattr(scope.get("route"), "path", None) or NO_ROUTE
    fields: dict[str, Any] = {"request_id": context.request_id, "method": scope["method"], "route": route}
    if path != route:
        # Without the query, which may contain secrets. Quoted, because a terminal obeys control characters.
        fields["path"] = _logged(path) if len(path) <= MAX_LOGGED else _logged.__wrapped__(path)
    fields["status"] = status
    fields["ms"] = round((time.perf_counter() - context.began) * 1000, 1)
    return fields


@lru_cache(maxsize=256)
def _logged(path: str) -> str:
    return _SECRET.sub("[secret]", quote(path))[:MAX_LOGGED]
