"""Begin, list and end administrators' sessions.

`authentication.py` authenticates requests by the session cookie.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from authsec_server import naming
from authsec_server.accounts import store
from authsec_server.accounts.lookup import find_administrator
from authsec_server.accounts.model import secret
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.sessions import (
    Arrival,
    NewSession,
    Session,
    SessionTerms,
    SignInMethod,
    shown_user_agent,
)
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Act, Role

KEPT_FOR = timedelta(days=30)  # ended sessions show from which addresses the administrator signed in
AT_ONCE = 10_000  # sessions that one statement ends: raw SQL may insert very many
MOST_ENDED = 100_000  # sessions that one change ends if the administrator stays enabled
MOST_NAMED = 100  # sessions that one change ends with an event each


def begin(
    tx: Tx, arrival: Arrival, administrator: Administrator, method: SignInMethod, *, second_factor: str = ""
) -> NewSession:
    """Begin a new session after a sign-in, and end the session of the browser's previous cookie.

    `second_factor` says which kind of code the person sent, if the person has a second factor.

    An attacker may have planted the previous cookie (session fixation). The caller checks, in the same
    transaction, that the administrator may sign in.
    """
    caller, now = arrival.caller, arrival.now
    act = arrival.by(administrator.principal(""))
    cookie = secret.text_of(arrival.token_bytes(secret.SECRET_BYTES))
    session = Session(
        id=act.new_id(),
        administrator_id=administrator.id,
        method=method,
        created_at=now,
        last_seen_at=now,
        address=caller.address,
        user_agent=shown_user_agent(caller.user_agent),
    )
    _end_replaced(tx, act, caller.cookie)
    store.add_session(tx.connection, session, secret.hashed(cookie))
    store.set_signed_in(tx.connection, administrator.id, now)
    audit.record_act(
        tx,
        act,
        EventKind.ADMIN_SIGN_IN,
        subject=Named(id=session.id, name=administrator.name),
        decision=Decision.GRANTED,
        detail={
            "method": method,
            "user_agent": session.user_agent,
            **({"second_factor": second_factor} if second_factor else {}),
        },
    )
    return NewSession(session=session, administrator=administrator, cookie=cookie)


def by_cookie(tx: Tx, cookie: str) -> tuple[Session, Administrator] | None:
    """Return the session with this cookie value, and its administrator, even if the session has ended or expired."""
    session = store.session_by_hash(tx.connection, secret.hashed(cookie)) if secret.is_secret(cookie) else None
    return (session, find_administrator(tx, session.administrator_id)) if session else None


def by_id(tx: Tx, session_id: str) -> tuple[Session, Administrator] | None:
    """Return the session with this id, and its administrator, even if the session has ended or expired."""
    session = store.session_by_id(tx.connection, session_id)
    return (session, find_administrator(tx, session.administrator_id)) if session else None


def note_use(tx: Tx, session: Session, now: datetime) -> None:
    """Save `now` as the time of the last use of the session."""
    store.set_last_seen(tx.connection, session.id, now)


def own(tx: Tx, act: Act, *, terms: SessionTerms) -> list[Session]:
    """Return the acting administrator's valid sessions, the most recently used first."""
    return _valid_sessions(tx, act, terms, act.principal.id)


def of(tx: Tx, act: Act, administrator_id: str, *, terms: SessionTerms) -> list[Session]:
    """Return an administrator's valid sessions. Only an admin may list the sessions of others.

    Sessions show the network address of a person.
    """
    if administrator_id != act.principal.id:
        act.principal.require(Role.ADMIN)
    return _valid_sessions(tx, act, terms, administrator_id)


def end(tx: Tx, act: Act, session_id: str) -> Session:
    """End one of the principal's own sessions; an admin may end any session. Call only inside a `change`.

    A session that has ended already does not change. Raises `NotFound`.
    """
    found = by_id(tx, session_id) if naming.is_uuid(session_id) else None
    if found is None:
        raise NotFound("There is no such session.", "It may have ended earlier.")
    session, whose = found
    if whose.id != act.principal.id:
        act.principal.require(Role.ADMIN)
    _end(tx, act, session, whose, because="ended")
    return store.session_by_id(tx.connection, session_id) or session


def end_others(tx: Tx, act: Act) -> int:
    """End the acting administrator's sessions except the current one. Return how many ended.

    Call only inside a `change`.
    """
    whose = find_administrator(tx, act.principal.id)
    return end_every_one_of(tx, act, whose, because="ended", but=act.principal.session_id)


def end_all(tx: Tx, act: Act, reference: str) -> int:
    """End every session of an administrator. Return how many ended.

    Every administrator may end their own sessions. Only an admin may end the sessions of others. Call only
    inside a `change`.
    """
    whose = find_administrator(tx, reference)
    if whose.id != act.principal.id:
        act.principal.require(Role.ADMIN)
    return end_every_one_of(tx, act, whose, because="ended")


def end_every_one_of(tx: Tx, act: Act, administrator: Administrator, *, because: str, but: str = "") -> int:
    """End every session of the administrator, except the session `but`. Return how many ended.

    Call inside the `change` that makes this necessary. `because` is the reason in the audit log.
    Raises `Conflict` if there are too many for one change: a session that is left would stay valid.
    """
    ended = end_all_of(tx, act, administrator, because=because, but=but, limit=MOST_ENDED)
    if store.open_sessions(tx.connection, administrator.id, but=but, limit=1):
        raise Conflict(
            f"{administrator.email} has more than {MOST_ENDED:,} open sessions, too many for one change.",
            f"Disable {administrator.email}: then no session is valid, and a running server ends {AT_ONCE:,} of them "
            "each minute. Enable the account later, and try again.",
        )
    return ended


def end_all_of(tx: Tx, act: Act, administrator: Administrator, *, because: str, but: str = "", limit: int) -> int:
    """End sessions of the administrator, but at most `limit` and not the session `but`. Return how many ended.

    Call inside the `change` that makes this necessary. `because` is the reason in the audit log.
    `keep` ends the other sessions later, if the administrator is disabled.
    The attack: raw SQL inserts very many sessions. With an event for each, nobody could disable the administrator in
    time. So the last event has the number of the others.
    """
    named = store.open_sessions(tx.connection, administrator.id, but=but, limit=MOST_NAMED)
    for session in named:
        _record(tx, act, session.id, administrator, because=because)
    ended = store.end_open_sessions(tx.connection, administrator.id, act.now, but=but, limit=limit)
    if more := ended - len(named):
        _record(tx, act, administrator.id, administrator, because=because, sessions=more)
    return ended


def end_all_sessions(tx: Tx, now: datetime) -> None:
    """End the sessions of all administrators, after a restore.

    The restored database does not show which sessions ended after the backup.
    """
    store.end_expired_sessions(tx.connection, now, seen_until=now, made_until=now)


def keep(tx: Tx, now: datetime, terms: SessionTerms) -> None:
    """End sessions that have expired or are of disabled administrators, and delete those that ended long ago.

    A pass ends and deletes a bounded number of sessions.
    """
    seen_until, made_until = now - terms.idle, now - terms.lifetime
    store.end_expired_sessions(tx.connection, now, seen_until=seen_until, made_until=made_until, limit=AT_ONCE)
    store.forget_sessions(tx.connection, now - KEPT_FOR, limit=AT_ONCE)


def end_left(tx: Tx, act: Act, administrator: Administrator) -> None:
    """End the sessions that are left of a disabled administrator: enabling would make them valid again.

    Raises `Conflict` if there are too many for one change.
    """
    end_all_of(tx, act, administrator, because="disabled", limit=AT_ONCE)
    if store.open_sessions(tx.connection, administrator.id, limit=1):
        raise Conflict(
            f"Very many sessions of {administrator.email} have not ended yet.",
            f"A running server ends {AT_ONCE:,} of them each minute. Try again later.",
        )


def _valid_sessions(tx: Tx, act: Act, terms: SessionTerms, administrator_id: str) -> list[Session]:
    found = store.open_sessions(tx.connection, administrator_id)
    return [session for session in found if session.is_valid(act.now, terms)]


def _end(tx: Tx, act: Act, session: Session, owner: Administrator, *, because: str) -> None:
    if session.ended_at is None:
        store.end_session(tx.connection, session.id, act.now)
        _record(tx, act, session.id, owner, because=because)


def _record(tx: Tx, act: Act, subject_id: str, owner: Administrator, **detail: object) -> None:
    audit.record_act(
        tx,
        act,
        EventKind.SESSION_ENDED,
        subject=Named(id=subject_id, name=owner.name),
        detail={"administrator": owner.id, **detail},
    )


def _end_replaced(tx: Tx, act: Act, cookie: str) -> None:
    """End the session that the browser had before this sign-in: a replaced session must not stay open."""
    found = by_cookie(tx, cookie)
    if found is not None:
        _end(tx, act, found[0], found[1], because="signed in again")
