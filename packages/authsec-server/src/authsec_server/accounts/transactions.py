"""Sign-in transactions: by verified password, by link, or by an identity at an OpenID provider.

Each function runs in one transaction and reads the administrator or link again: they may have changed while
the password was verified. `sign_in.py` checks rate limits and hashes passwords before the transaction.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Final

from authsec_server.accounts import administrators, links, second_factor, sessions, store
from authsec_server.accounts.model import administrators as model
from authsec_server.accounts.model.administrators import Administrator, LinkPurpose, LinkState, identity, read_email
from authsec_server.accounts.model.sessions import Arrival, NewSession, SignInMethod, SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.accounts.second_factor import SecondStep
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.db import Tx
from authsec_server.principal import Act, Principal, PrincipalKind, Role
from authsec_server.web.request_context import limit_key

NOBODY: Final = "00000000-0000-0000-0000-000000000000"  # no administrator has this id (RFC 9562 section 5.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An administrator with the password hash, and the networks from which the administrator signed in before."""

    administrator: Administrator
    password_hash: str | None = field(repr=False)
    networks: Set[str]


class RefusedSignIn(Exception):
    """A sign-in was refused. `whose` is the account's administrator, or None without an account."""

    def __init__(self, why: SignInRefusal, whose: Administrator | None = None) -> None:
        super().__init__(why.value)
        self.why = why
        self.whose = whose


class LinkRefused(Exception):
    """The link is not open."""

    def __init__(self, state: LinkState) -> None:
        super().__init__(state.status.value)
        self.state = state


def account(tx: Tx, email: str) -> Account | None:
    """Return the account with this address, which a person typed; None if there is no such account."""
    address = read_email(email)
    return _account(tx, store.administrator_by_email(tx.connection, address) if address else None)


def account_of(tx: Tx, principal: Principal) -> Account | None:
    """Return the account of the acting administrator; None if the principal is not an administrator."""
    person = principal.kind is PrincipalKind.ADMINISTRATOR
    return _account(tx, store.administrator_by_id(tx.connection, principal.id) if person else None)


def with_password(
    tx: Tx, arrival: Arrival, verified: Account, *, rehashed: str | None = None
) -> NewSession | SecondStep:
    """Begin a session, or its second step, for the account whose password was verified. Raises `RefusedSignIn`.

    `rehashed`, if present, replaces the stored password hash.
    """
    administrator = _still(tx, verified)
    if rehashed is not None:
        store.set_password_hash(tx.connection, administrator.id, rehashed)
    return second_factor.enter(tx, arrival, administrator, SignInMethod.PASSWORD)


def with_new_password(tx: Tx, act: Act, verified: Account, password_hash: str) -> None:
    """Replace the principal's own password, and end the principal's other sessions and all links.

    An attacker may have a session or a link. Call only inside a `change`. Raises `RefusedSignIn`.
    """
    administrator = _still(tx, verified)
    store.set_password_hash(tx.connection, administrator.id, password_hash)
    sessions.end_others(tx, act)
    links.void_all_of(tx, act.now, administrator)
    audit.record_act(
        tx,
        act,
        EventKind.ADMINISTRATOR_CHANGED,
        subject=administrators.named(administrator),
        detail={"password": "changed"},
    )


def set_up_first(tx: Tx, arrival: Arrival, code: str, *, email: str, name: str, password_hash: str) -> NewSession:
    """Create the first administrator, with the role admin, and begin a session.

    Call only inside a `change`. Raises `LinkRefused`.
    """
    _use(tx, arrival, code, LinkPurpose.FIRST_ADMINISTRATOR)
    first = model.new(arrival.new_id(), arrival.now, email=email, name=name, role=Role.ADMIN)
    known = _with_password(tx, arrival, administrators.add(tx, first), password_hash)
    return sessions.begin(tx, arrival, known, SignInMethod.LINK)


def set_password(tx: Tx, arrival: Arrival, code: str, password_hash: str) -> NewSession | SecondStep:
    """Set the password of an invited or reset person, and begin a session, or its second step.

    Call only inside a `change`. Raises `LinkRefused`.
    """
    administrator = _whose(_use(tx, arrival, code, LinkPurpose.SET_PASSWORD))
    administrator.require_password_account()
    known = _with_password(tx, arrival, administrator, password_hash)
    return second_factor.enter(tx, arrival, known, SignInMethod.LINK)


def with_link(tx: Tx, arrival: Arrival, code: str) -> NewSession | SecondStep:
    """Begin a session, or its second step, by a sign-in link. Call only inside a `change`. Raises `LinkRefused`."""
    return second_factor.enter(tx, arrival, _whose(_use(tx, arrival, code, LinkPurpose.SIGN_IN)), SignInMethod.LINK)


def from_identity(
    tx: Tx, arrival: Arrival, *, issuer: str, subject: str, email: str, name: str, role: Role
) -> Administrator:
    """Return the administrator with this identity, with the role that the provider grants.

    The first sign-in creates the administrator, and every later sign-in updates the role. Only issuer and
    subject identify a person (OpenID Connect Core section 5.7), never the e-mail address. Otherwise an attacker
    whose provider sends another person's address could become that person. Call only inside a `change`. Raises
    `RefusedSignIn`, `Invalid`.
    """
    issuer, subject = identity(issuer, subject)
    found = store.administrator_by_identity(tx.connection, issuer, subject)
    if found is None:
        new = model.new(
            arrival.new_id(), arrival.now, email=email, name=name, role=role, issuer=issuer, subject=subject
        )
        return _from_new_identity(tx, arrival, new)
    if not found.enabled:
        raise RefusedSignIn(SignInRefusal.DISABLED, found)
    return administrators.follow_role(tx, arrival.by(found.principal("")), found, role)


def with_identity(tx: Tx, arrival: Arrival, administrator: Administrator) -> NewSession:
    """Begin a session for the administrator whom `from_identity` returned in the same `change`."""
    return sessions.begin(tx, arrival, administrator, SignInMethod.OIDC)


def without_role(tx: Tx, arrival: Arrival, issuer: str, subject: str) -> Administrator | None:
    """End the sessions of the administrator to whom the provider grants no role. Return the administrator, if known.

    A lower role ends sessions, so the loss of every role ends them too. Call only inside a `change`.
    """
    found = store.administrator_by_identity(tx.connection, *identity(issuer, subject))
    if found is not None:
        act = arrival.by(found.principal(""))
        sessions.end_all_of(tx, act, found, because="no role at the provider", limit=sessions.MOST_ENDED)
    return found


def refused(tx: Tx, arrival: Arrival, why: SignInRefusal | OpenIdRefusal, whose: Administrator | None) -> None:
    """Count a refused sign-in in the audit log. An unknown e-mail address is not recorded."""
    refusal = Refusal(
        kind=EventKind.ADMIN_SIGN_IN_REFUSED,
        address=limit_key(arrival.caller.address),
        subject=administrators.named(whose) if whose else None,
        reason=why,
    )
    audit.count_refusals(tx, {refusal: Tally(count=1, request_id=arrival.caller.request_id)}, arrival.now)


def _account(tx: Tx, found: Administrator | None) -> Account | None:
    """Return the account of this administrator; None without an administrator.

    The same SQL statements run in both cases. Otherwise the response time would show which accounts exist.
    """
    whose = found.id if found else NOBODY
    password_hash = store.password_hash(tx.connection, whose)
    networks = {limit_key(address) for address in store.session_addresses(tx.connection, whose)}
    return Account(administrator=found, password_hash=password_hash, networks=networks) if found else None


def _still(tx: Tx, verified: Account) -> Administrator:
    """Read the administrator of the verified account from the database again.

    Raises `RefusedSignIn` if the administrator was disabled or the password was changed since the verification.
    """
    now = store.administrator_by_id(tx.connection, verified.administrator.id)
    if now is None or not now.enabled:
        raise RefusedSignIn(SignInRefusal.DISABLED, now)
    if store.password_hash(tx.connection, now.id) != verified.password_hash:
        raise RefusedSignIn(SignInRefusal.CHANGED_MEANWHILE, now)
    return now


def _from_new_identity(tx: Tx, arrival: Arrival, new: Administrator) -> Administrator:
    if holder := store.administrator_by_email(tx.connection, new.email):
        raise RefusedSignIn(SignInRefusal.IDENTITY_EMAIL_TAKEN, holder)
    administrators.add(tx, new)
    detail = {"email": new.email, "role": new.role.name.lower(), "issuer": new.issuer}
    _record_set_up(tx, arrival, new, detail)
    return new


def _use(tx: Tx, arrival: Arrival, code: str, purpose: LinkPurpose) -> LinkState:
    state = links.use(tx, arrival.now, code, purpose)
    if not state.open:
        raise LinkRefused(state)
    return state


def _whose(state: LinkState) -> Administrator:
    if state.administrator is None:
        raise LinkRefused(state)
    return state.administrator


def _with_password(tx: Tx, arrival: Arrival, administrator: Administrator, password_hash: str) -> Administrator:
    """Save the password, and void the person's other links."""
    store.set_password_hash(tx.connection, administrator.id, password_hash)
    links.void_all_of(tx, arrival.now, administrator)
    _record_set_up(tx, arrival, administrator, {"email": administrator.email, "role": administrator.role.name.lower()})
    return replace(administrator, has_password=True)


def _record_set_up(tx: Tx, arrival: Arrival, administrator: Administrator, detail: dict[str, str]) -> None:
    act = arrival.by(administrator.principal(""))
    subject = administrators.named(administrator)
    audit.record_act(tx, act, EventKind.ADMINISTRATOR_SET_UP, subject=subject, detail=detail)
