"""Authenticate an API by its own credential. Each request looks the credential up again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from authsec.api_credential import is_api_credential

from authsec_server.apis import credentials
from authsec_server.apis.model import CredentialRefusal, Holder
from authsec_server.db import Database
from authsec_server.web.errors import TooOften
from authsec_server.web.oauth import read_basic
from authsec_server.web.request_context import RequestContext, limit_key
from authsec_server.web.throttle import WHOLE, Limiter, Share, Throttle

FAILURES_A_MINUTE = 20  # for each network

_MESSAGES = {
    CredentialRefusal.MISSING: "This request needs an API's credential, and no credential was sent.",
    CredentialRefusal.MALFORMED: "This is not an API's credential. Tokens and admin keys are not accepted here.",
    CredentialRefusal.UNKNOWN: "This authority does not know this credential.",
    CredentialRefusal.OF_ANOTHER: "This credential belongs to another API than the one that was named.",
    CredentialRefusal.EXPIRED: "This credential has expired.",
    CredentialRefusal.REVOKED: "This credential was revoked.",
}


class NotProved(Exception):
    """The request does not authenticate an API. `message` is for the caller, `why` is for programs."""

    def __init__(self, why: CredentialRefusal) -> None:
        super().__init__(_MESSAGES[why])
        self.message = _MESSAGES[why]
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    why: CredentialRefusal
    holder: Holder | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCredential:
    """The credential in a request. `text` has the form of a credential; `api` is the claimed slug or id, or empty."""

    text: str = field(repr=False)
    api: str = ""

    def is_of(self, holder: Holder) -> bool:
        """Return whether the credential belongs to the API that the request names. True if the request names no API."""
        return self.api in {"", holder.slug, holder.api_id}


def shown_in(authorizations: Sequence[str]) -> ShownCredential | CredentialRefusal:
    """Read the credential from the Authorization headers: `Bearer`, or `Basic` with slug or id (RFC 7662 section 2.1).

    A request with two Authorization headers is refused, because neither has precedence.
    """
    if not authorizations:
        return CredentialRefusal.MISSING
    scheme, _, sent = authorizations[0].strip().partition(" ")
    named: tuple[str, str] | None = None
    if scheme.lower() == "bearer":
        named = "", sent.strip()
    elif scheme.lower() == "basic" and (read := read_basic(sent.strip())) is not None and read[0]:
        named = read
    if named is None or len(authorizations) > 1 or not is_api_credential(named[1]):
        return CredentialRefusal.MALFORMED
    return ShownCredential(api=named[0], text=named[1])


class ApiCredentials:
    """Authenticator for APIs: `Authorization: Bearer` with a valid credential, or `Basic` with slug or id as user.

    Methods block the thread. Refusals are counted in the audit log before the response. A rate limit for each
    address keeps refusals cheap. The limit does not protect credentials: a credential has 256 random bits and
    cannot be guessed. The look-up is by hash, so its timing shows nothing about a credential
    (`accounts.model.secret.hashed`).
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
            "Too many requests from this address had a wrong credential, or none.",
            monotonic=monotonic,
        )
        # One write per minute for each credential. Not a `Throttle`, which refuses requests. Not a `Recently`, which
        # records an action only afterwards: parallel requests would each write.
        self._uses = Limiter(1)

    def prove(self, authorizations: Sequence[str], context: RequestContext) -> Holder:
        """Return the API that sent the request. Raises `NotProved`, `TooOften` or `Unavailable`.

        A valid credential is accepted even from an address that is over the limit.
        """
        found = self._look_up(authorizations)
        if isinstance(found, _Refused):
            limited = _Refused(why=CredentialRefusal.RATE_LIMITED)
            self._failures.charge(limit_key(context.address), count_refusal=lambda: self._count(limited, context))
            self._count(found, context)
            raise NotProved(found.why)
        self._note_use(found)
        return found

    def recognise(self, authorizations: Sequence[str], context: RequestContext) -> Holder | None:
        """Return the API that sent the request, or None for an anonymous caller or a wrong credential.

        Use this for endpoints that also accept anonymous callers. Raises `Unavailable`. Wrong credentials are
        recorded only up to the rate limit: this method refuses nobody, so strangers could otherwise cause endless
        writes.
        """
        if not authorizations:
            return None
        found = self._look_up(authorizations)
        if isinstance(found, _Refused):
            with suppress(TooOften):
                self._failures.charge(limit_key(context.address))
                self._count(found, context)
            return None
        self._note_use(found)
        return found

    def audience(self, authorizations: Sequence[str], context: RequestContext) -> str | None:
        """Return the audience of the API that `recognise` returns, or None. Raises `Unavailable`."""
        holder = self.recognise(authorizations, context)
        return holder.identifier if holder else None

    def _look_up(self, authorizations: Sequence[str]) -> Holder | _Refused:
        shown = shown_in(authorizations)
        if isinstance(shown, CredentialRefusal):
            return _Refused(why=shown)
        holder = self._database.read(lambda tx: credentials.find(tx, shown.text))
        if holder is None:
            return _Refused(why=CredentialRefusal.UNKNOWN)
        why = holder.credential.refusal(self._now())
        if why is None and not shown.is_of(holder):
            why = CredentialRefusal.OF_ANOTHER
        return _Refused(why=why, holder=holder) if why else holder

    def _note_use(self, holder: Holder) -> None:
        credential = holder.credential
        if not self._uses.charge(credential.id, self._monotonic()):
            self._database.append(lambda tx: credentials.used(tx, credential, self._now()))

    def _count(self, refused: _Refused, context: RequestContext) -> None:
        self._database.append(
            lambda tx: credentials.refused(
                tx, refused.why, self._now(), context.request_id, context.address, holder=refused.holder
            )
        )
