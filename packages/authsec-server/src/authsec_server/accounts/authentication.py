"""Authenticate admin API requests by an admin key, or as the local operator at the server's machine.

No agent can authenticate to the admin API. A text that does not have the form of an admin key is refused
without a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server import naming
from authsec_server.accounts import admin_keys
from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal, is_admin_key
from authsec_server.db import Database, Tx
from authsec_server.principal import LOCAL_OPERATOR, Principal
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.request_context import RequestContext, context_of, limit_key
from authsec_server.web.throttle import Recently, Throttle

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

    async def __call__(self, request: Request) -> Principal:  # noqa: ARG002 - whatever it is
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

    def __init__(self, database: Database, *, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._monotonic = monotonic
        self._failures = Throttle(
            FAILURES_A_MINUTE,
            "Too many requests from this address had a wrong admin key, or none.",
            monotonic=monotonic,
        )
        self._signed_in = Recently()  # one audit log row a minute, key and address

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
        self._signed_in.done(once_a_minute, self._monotonic())  # only now: a record that failed is owed again

    def _count(self, refused: _RefusedKeys, context: RequestContext) -> None:
        self._database.append(
            lambda tx: admin_keys.refused(
                tx, refused.why, self._now(), context.request_id, context.address, key=refused.key
            )
        )
