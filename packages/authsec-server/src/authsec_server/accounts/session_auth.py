"""Authenticate console requests by session cookie. Each request looks the session up again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server.accounts import sessions
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.entering import BrowserCaller
from authsec_server.accounts.model.sessions import SEEN_EVERY, Session, SessionTerms
from authsec_server.db import Database, Tx
from authsec_server.principal import Principal
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.request_context import context_of

NOBODY = "You are not signed in."
ENDED = "This session has ended. Sign in again."


class SessionEnded(Unauthenticated):
    """The session of the request has ended."""


def cookie_name(issuer: str) -> str:
    """Return the name of the session cookie for this issuer.

    For https, the name has the prefix `__Host-`. Browsers accept such a cookie only over TLS and from this host
    (RFC 6265bis 4.1.3.2). For plain http, which is allowed only on loopback, the name contains the port
    instead. Browsers send a cookie to every port of a host (RFC 6265 section 8.5). If two authorities on one
    host had the same cookie name, they would sign people out of each other.
    """
    parts = urlsplit(issuer)
    return "__Host-authsec-session" if parts.scheme == "https" else f"authsec-session-{parts.port or 80}"


def caller_of(request: Request, name: str) -> BrowserCaller:
    """Return the browser that sent this request, before authentication; `name` is the cookie name."""
    context = context_of(request.scope)
    return BrowserCaller(
        request_id=context.request_id,
        address=context.address,
        user_agent=request.headers.get("user-agent", ""),
        cookie=_sent(request.headers.getlist("cookie"), name),
    )


class Sessions:
    """Authenticator for requests with the cookie of a valid session.

    `unattended` lists the paths that an open page requests automatically. Such a request does not prove that a
    person is present. Therefore the request does not extend the idle timeout.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        terms: SessionTerms,
        now: Callable[[], datetime],
        unattended: Collection[str] = (),
    ) -> None:
        self.name = name
        self._database = database
        self.terms = terms
        self._now = now
        self._unattended = frozenset(unattended)

    async def __call__(self, request: Request) -> Principal:
        """Return the administrator of the session. Raises `Unauthenticated` or `Unavailable`."""
        cookie = _sent(request.headers.getlist("cookie"), self.name)
        if not cookie:
            raise Unauthenticated(NOBODY)
        return await run_in_threadpool(self._enter, cookie, request.scope.get("path") not in self._unattended)

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Check the session and its administrator again in this transaction. Raises `Unauthenticated`.

        The administrator may have been disabled after the request began and before its body arrived. The check also
        fails if the administrator's role is lower than before.
        """
        _, administrator = self._require_valid(sessions.by_id(tx, principal.session_id))
        if administrator.id != principal.id or administrator.role < principal.role:
            raise SessionEnded(ENDED)

    def keep(self, tx: Tx) -> None:
        """End expired sessions, and delete sessions that ended more than 30 days ago."""
        sessions.keep(tx, self._now(), self.terms)

    def _enter(self, cookie: str, attended: bool) -> Principal:
        session, administrator = self._require_valid(self._database.read(lambda tx: sessions.by_cookie(tx, cookie)))
        now = self._now()
        if attended and now - session.last_seen_at >= SEEN_EVERY:
            self._database.append(lambda tx: sessions.note_use(tx, session, now))
        return administrator.principal(session.id)

    def _require_valid(self, found: tuple[Session, Administrator] | None) -> tuple[Session, Administrator]:
        if found is None or not found[0].is_valid(self._now(), self.terms) or not found[1].enabled:
            raise SessionEnded(ENDED)
        return found


def _sent(headers: Sequence[str], name: str) -> str:
    """Return the value of the cookie with this name; empty if the request has the cookie twice.

    The second cookie may come from another program on this host.
    """
    pairs = [pair.strip().partition("=") for header in headers for pair in header.split(";")]
    values = [value for found, _, value in pairs if found == name]
    return values[0] if len(values) == 1 else ""
