"""Who is signed in: the session that a browser's cookie opens, looked up at each request anew."""

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

NOBODY = "Nobody is signed in."
ENDED = "This session has ended. Sign in again."


class SessionEnded(Unauthenticated):
    """Somebody was signed in, and is no longer."""


def cookie_name(issuer: str) -> str:
    """The cookie's name. With the prefix browsers take it only over TLS and from this very host (RFC 6265bis 4.1.3.2).

    Plain http, which only loopback has, could not set such a cookie. There the name has the port: browsers send a
    cookie to every port of a host (RFC 6265 section 8.5), and one authority would sign people out of another.
    """
    parts = urlsplit(issuer)
    return "__Host-authsec-session" if parts.scheme == "https" else f"authsec-session-{parts.port or 80}"


def caller_of(request: Request, name: str) -> BrowserCaller:
    """Who sends this request, before anybody is known; `name` is the cookie's."""
    context = context_of(request.scope)
    return BrowserCaller(
        request_id=context.request_id,
        address=context.address,
        user_agent=request.headers.get("user-agent", ""),
        cookie=_sent(request.headers.getlist("cookie"), name),
    )


class Sessions:
    """Lets in whoever sends the cookie of a session that stands.

    `unattended` are the paths that pages ask for by themselves, for as long as they are open: nobody need be there, so
    they keep no session from its idle end.
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
        """The administrator whose session it is. Raises `Unauthenticated` or `Unavailable`."""
        cookie = _sent(request.headers.getlist("cookie"), self.name)
        if not cookie:
            raise Unauthenticated(NOBODY)
        return await run_in_threadpool(self._enter, cookie, request.scope.get("path") not in self._unattended)

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Raise `Unauthenticated` unless session and administrator stand, with as much of a role, in this transaction.

        A request can be begun, the administrator disabled, and the body sent afterwards.
        """
        _, administrator = self._standing(sessions.by_id(tx, principal.session_id))
        if administrator.id != principal.id or administrator.role < principal.role:
            raise SessionEnded(ENDED)

    def keep(self, tx: Tx) -> None:
        """End and forget sessions whose time is over."""
        sessions.keep(tx, self._now(), self.terms)

    def _enter(self, cookie: str, attended: bool) -> Principal:
        session, administrator = self._standing(self._database.read(lambda tx: sessions.by_cookie(tx, cookie)))
        now = self._now()
        if attended and now - session.last_seen_at >= SEEN_EVERY:
            self._database.append(lambda tx: sessions.seen(tx, session, now))
        return administrator.principal(session.id)

    def _standing(self, found: tuple[Session, Administrator] | None) -> tuple[Session, Administrator]:
        if found is None or not found[0].stands(self._now(), self.terms) or not found[1].enabled:
            raise SessionEnded(ENDED)
        return found


def _sent(headers: Sequence[str], name: str) -> str:
    """The cookie's value; none when it comes twice: somebody else's program on this host may have set the other one."""
    pairs = [pair.strip().partition("=") for header in headers for pair in header.split(";")]
    values = [value for found, _, value in pairs if found == name]
    return values[0] if len(values) == 1 else ""
