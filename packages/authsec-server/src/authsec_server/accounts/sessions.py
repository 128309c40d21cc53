"""The verbs of sessions: beginning one at each sign-in, listing and ending them.

What a request's cookie opens is `cookies.py`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from authsec_server import naming
from authsec_server.accounts.found import administrator as find
from authsec_server.accounts.model import secret
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.entering import Arrival, NewSession
from authsec_server.accounts.model.sessions import Session, SessionTerms, SignInMethod, shown_user_agent
from authsec_server.accounts.store import administrators as people
from authsec_server.accounts.store import sessions as store
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.principal import Act, Role

REMEMBERED = timedelta(days=30)  # how long an ended session tells from where its administrator used to come


def begin(tx: Tx, arrival: Arrival, administrator: Administrator, method: SignInMethod) -> NewSession:
    """A new session, always: a cookie that the browser had before, and somebody may have planted, opens nothing more.

    Whether the administrator may come in is the caller's to have made sure of, in this transaction.
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
    store.add(tx.connection, session, secret.hashed(cookie))
    people.set_signed_in(tx.connection, administrator.id, now)
    audit.record_act(
        tx,
        act,
        EventKind.ADMIN_SIGN_IN,
        subject=Named(id=session.id, name=administrator.name),
        decision=Decision.GRANTED,
        detail={"method": method, "user_agent": session.user_agent},
    )
    return NewSession(session=session, administrator=administrator, cookie=cookie)


def by_cookie(tx: Tx, cookie: str) -> tuple[Session, Administrator] | None:
    """The session that this cookie opens, whatever has become of it, and whose it is."""
    session = store.by_hash(tx.connection, secret.hashed(cookie)) if secret.is_secret(cookie) else None
    return (session, find(tx, session.administrator_id)) if session else None


def by_id(tx: Tx, session_id: str) -> tuple[Session, Administrator] | None:
    """The session with this id, whatever has become of it, and whose it is."""
    session = store.by_id(tx.connection, session_id)
    return (session, find(tx, session.administrator_id)) if session else None


def seen(tx: Tx, session: Session, now: datetime) -> None:
    """Write that the session is in use. For the authenticator."""
    store.set_seen(tx.connection, session.id, now)


def own(tx: Tx, act: Act, *, terms: SessionTerms) -> list[Session]:
    """The acting administrator's sessions that stand, the one last used first."""
    return _standing(tx, act, terms, act.principal.id)


def of(tx: Tx, act: Act, administrator_id: str, *, terms: SessionTerms) -> list[Session]:
    """An administrator's sessions that stand. Others' only as admin: they tell where a person is."""
    if administrator_id != act.principal.id:
        act.principal.require(Role.ADMIN)
    return _standing(tx, act, terms, administrator_id)


def end(tx: Tx, act: Act, session_id: str) -> Session:
    """End a session: an own one, or as admin anybody's. Only inside a `change`. What has ended stays as it is."""
    found = by_id(tx, session_id) if naming.is_uuid(session_id) else None
    if found is None:
        raise NotFound("There is no such session.", "It may have ended some time ago.")
    session, whose = found
    if whose.id != act.principal.id:
        act.principal.require(Role.ADMIN)
    _end(tx, act, [session], whose, because="ended")
    return store.by_id(tx.connection, session_id) or session


def end_others(tx: Tx, act: Act) -> int:
    """End the acting administrator's sessions but the one that acts; how many. Only inside a `change`."""
    whose = find(tx, act.principal.id)
    others = [each for each in store.open_ones(tx.connection, whose.id) if each.id != act.principal.session_id]
    return _end(tx, act, others, whose, because="ended")


def end_all(tx: Tx, act: Act, reference: str) -> int:
    """End every session of an administrator; how many. One's own, or as admin anybody's. Only inside a `change`."""
    whose = find(tx, reference)
    if whose.id != act.principal.id:
        act.principal.require(Role.ADMIN)
    return end_all_of(tx, act, whose, because="ended")


def end_all_of(tx: Tx, act: Act, administrator: Administrator, *, because: str) -> int:
    """End every session of the administrator, in the change that is the reason; how many."""
    return _end(tx, act, store.open_ones(tx.connection, administrator.id), administrator, because=because)


def end_everybodys(tx: Tx, now: datetime) -> None:
    """End the sessions of all administrators: of a restored database nobody knows which had ended."""
    store.end_expired(tx.connection, now, seen_until=now, made_until=now)


def keep(tx: Tx, now: datetime, terms: SessionTerms) -> None:
    """End what time has ended, and forget what ended long ago."""
    store.end_expired(tx.connection, now, seen_until=now - terms.idle, made_until=now - terms.lifetime)
    store.forget(tx.connection, now - REMEMBERED)


def _standing(tx: Tx, act: Act, terms: SessionTerms, administrator_id: str) -> list[Session]:
    found = store.open_ones(tx.connection, administrator_id)
    return [session for session in found if session.stands(act.now, terms)]


def _end(tx: Tx, act: Act, sessions: Iterable[Session], whose: Administrator, *, because: str) -> int:
    open_ones = [session for session in sessions if session.ended_at is None]
    for session in open_ones:
        store.set_ended(tx.connection, session.id, act.now)
        audit.record_act(
            tx,
            act,
            EventKind.SESSION_ENDED,
            subject=Named(id=session.id, name=whose.name),
            detail={"administrator": whose.id, "because": because},
        )
    return len(open_ones)


def _end_replaced(tx: Tx, act: Act, cookie: str) -> None:
    """End the session that the browser had, if it had one: what is replaced must not stay open behind it."""
    found = by_cookie(tx, cookie)
    if found is not None:
        _end(tx, act, [found[0]], found[1], because="signed in again")
