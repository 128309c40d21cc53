"""Authenticate requests by an admin key or a session cookie, or as the local operator at the server's machine.

No agent can authenticate to the admin API. A text that does not have the form of an admin key is refused
without a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server import naming
from authsec_server.accounts import admin_keys, sessions
from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal, is_admin_key
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.sessions import SEEN_EVERY, BrowserCaller, Session, SessionTerms
from authsec_server.db import Database, Tx
from authsec_server.principal import LOCAL_OPERATOR, Principal
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.request_context import RequestContext, context_of, limit_key
from authsec_server.web.throttle import WHOLE, Recently, Share, Throttle

FAILURES_A_MINUTE = 20

_MESSAGES = {
    KeyRefusal.MISSING: "This request needs an admin key, and no admin key was sent.",
    KeyRefusal.MALFORMED: "The credential that was sent is not an admin key. Agents' tokens cannot administer AuthSec.",
    KeyRefusal.UNKNOWN: "This authority does not know this admin key.",
    KeyRefusal.EXPIRED: "The admin key {name} has expired.",
    KeyRefusal.REVOKED: "The admin key {name} was revoked.",
}


class LocalOperator:
    """Authenticator that accepts every request as the local operator. Use it only for in-process requests.

    A caller in this process can read the data folder and therefore needs no key. Never use this class for
    requests from a network port.
    """

    async def __call__(self, request: Request) -> Principal:  # noqa: ARG002 - every request is accepted
        return LOCAL_OPERATOR

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Accept every request: the local operator cannot be revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefusedKeys:
    why: KeyRefusal
    key: AdminKey | None = None


class AdminKeys:
    """Authenticator for `Authorization: Bearer` with an admin key. Each request looks the key up again.

    Each sign-in or refusal is recorded in the audit log before the response; if recording fails, nobody is
    signed in. For each key and address, sign-ins are recorded at most once a minute. A rate limit for each
    address keeps refusals cheap. The limit does not protect the keys: a key has 256 random bits and cannot be
    guessed.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        share: Share = WHOLE,
    ) -> None:
        self._database = database
        self._now = now
        self._monotonic = monotonic
        self._failures = Throttle(
            share.of_failures(FAILURES_A_MINUTE),
            "Too many requests from this address had a wrong admin key, or none.",
            monotonic=monotonic,
        )
        self._signed_in = Recently()  # one audit log row per minute for each key and address

    async def __call__(self, request: Request) -> Principal:
        """Return the principal of the key in the request. Raises `Unauthenticated`, `TooOften` or `Unavailable`."""
        sent = request.headers.getlist("authorization")
        return await run_in_threadpool(self._enter, sent, context_of(request.scope))

    def _enter(self, sent: Sequence[str], context: RequestContext) -> Principal:
        found = self._look_up(sent)
        if isinstance(found, _RefusedKeys):
            raise self._refuse(found, context)
        self._record(found, context)
        return found.principal()

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Raise `Unauthenticated` if the key was revoked or has expired since the look-up."""
        key = admin_keys.by_id(tx, principal.id)
        refusal = key.refusal(self._now()) if key else KeyRefusal.UNKNOWN
        if refusal:
            raise Unauthenticated(_MESSAGES[refusal].format(name=naming.quoted(principal.name)))

    def _refuse(self, refused: _RefusedKeys, context: RequestContext) -> Unauthenticated:
        """Count the failure against the caller's address, and return the exception to raise. Raises `TooOften`.

        A valid key is accepted even from an address that is over the limit.
        """
        limited = _RefusedKeys(why=KeyRefusal.RATE_LIMITED)
        self._failures.charge(limit_key(context.address), count_refusal=lambda: self._count(limited, context))
        self._count(refused, context)
        return Unauthenticated(
            _MESSAGES[refused.why].format(name=naming.quoted(refused.key.name) if refused.key else "")
        )

    def _look_up(self, sent: Sequence[str]) -> AdminKey | _RefusedKeys:
        if not sent:
            return _RefusedKeys(why=KeyRefusal.MISSING)
        scheme, _, text = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not is_admin_key(text):
            return _RefusedKeys(why=KeyRefusal.MALFORMED)
        key = self._database.read(lambda tx: admin_keys.find(tx, text))
        if key is None:
            return _RefusedKeys(why=KeyRefusal.UNKNOWN)
        refusal = key.refusal(self._now())
        return _RefusedKeys(why=refusal, key=key) if refusal else key

    def _record(self, key: AdminKey, context: RequestContext) -> None:
        once_a_minute = f"{key.id} {context.address}"
        if self._signed_in(once_a_minute, self._monotonic()):
            return
        self._database.append(
            lambda tx: admin_keys.signed_in(tx, key, self._now(), context.request_id, context.address)
        )
        # After the write. If the write fails, the next request tries again.
        self._signed_in.done(once_a_minute, self._monotonic())

    def _count(self, refused: _RefusedKeys, context: RequestContext) -> None:
        self._database.append(
            lambda tx: admin_keys.refused(
                tx, refused.why, self._now(), context.request_id, context.address, key=refused.key
            )
        )


NOBODY = "You are not signed in."
ENDED = "This session has ended. Sign in again."


class SessionEnded(Unauthenticated):
    """The session of the request has ended."""


class SecondFactorMissing(Unauthenticated):
    """The settings demand a second factor, and the administrator of the session has none yet."""


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
    person is present. Therefore the request does not extend the idle timeout. If `needs_second_factor` is true, a
    person with a password but without a second factor reaches only the paths `without_second_factor`.
    """

    def __init__(
        self,
        database: Database,
        *,
        name: str,
        terms: SessionTerms,
        now: Callable[[], datetime],
        unattended: Collection[str] = (),
        needs_second_factor: bool = False,
        without_second_factor: Collection[str] = (),
    ) -> None:
        self.name = name
        self._database = database
        self.terms = terms
        self._now = now
        self._unattended = frozenset(unattended)
        self._needs_second_factor = needs_second_factor
        self._without_second_factor = frozenset(without_second_factor)

    async def __call__(self, request: Request) -> Principal:
        """Return the administrator of the session. Raises `Unauthenticated` or `Unavailable`."""
        cookie = _sent(request.headers.getlist("cookie"), self.name)
        if not cookie:
            raise Unauthenticated(NOBODY)
        return await run_in_threadpool(self._enter, cookie, str(request.scope.get("path")))

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

    def _enter(self, cookie: str, path: str) -> Principal:
        session, administrator = self._require_valid(self._database.read(lambda tx: sessions.by_cookie(tx, cookie)))
        if self._lacks_second_factor(administrator) and path not in self._without_second_factor:
            raise SecondFactorMissing("Turn on your second factor first.")
        now = self._now()
        if path not in self._unattended and now - session.last_seen_at >= SEEN_EVERY:
            self._database.append(lambda tx: sessions.note_use(tx, session, now))
        return administrator.principal(session.id)

    def _lacks_second_factor(self, administrator: Administrator) -> bool:
        return self._needs_second_factor and not administrator.has_identity and not administrator.has_second_factor

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
