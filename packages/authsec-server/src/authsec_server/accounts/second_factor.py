"""Turn the second factor of an administrator on and off, reset it, and use its codes. Each in an open transaction.

`second_step` checks limits, passwords and codes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from authsec_server.accounts import administrators, links, second_factor_store, sessions, store
from authsec_server.accounts.lookup import find_administrator
from authsec_server.accounts.model import secret
from authsec_server.accounts.model.administrators import Administrator, Link, LinkPurpose, LinkState
from authsec_server.accounts.model.second_factor import STEP_LIFE, SecondFactor, hashed_recovery_code
from authsec_server.accounts.model.sessions import Arrival, NewSession, SignInMethod, SignInRefusal
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, repeat_detail
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotPermitted
from authsec_server.principal import Act, PrincipalKind, Role

METHODS: Final[Mapping[LinkPurpose, SignInMethod]] = {
    LinkPurpose.CODE_AFTER_PASSWORD: SignInMethod.PASSWORD,
    LinkPurpose.CODE_AFTER_LINK: SignInMethod.LINK,
}
_PURPOSES: Final = {method: purpose for purpose, method in METHODS.items()}


class CodeRefused(Exception):
    """The code was not accepted. The transaction is rolled back, so the sign-in can go on with another code."""

    def __init__(self, why: SignInRefusal) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStep:
    """A sign-in that waits for the code. `cookie` is the value that only the browser of the first step has."""

    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCode:
    """The administrator and the second factor of a sign-in that waits for the code."""

    state: LinkState
    administrator: Administrator
    factor: SecondFactor


def enter(tx: Tx, arrival: Arrival, administrator: Administrator, method: SignInMethod) -> NewSession | SecondStep:
    """Begin a session for the administrator, or the second step if the administrator has a second factor.

    The caller has verified the first factor in the same transaction.
    """
    if not administrator.has_second_factor:
        return sessions.begin(tx, arrival, administrator, method)
    cookie = secret.text_of(arrival.token_bytes(secret.SECRET_BYTES))
    link = Link(
        id=arrival.new_id(),
        purpose=_PURPOSES[method],
        administrator_id=administrator.id,
        created_at=arrival.now,
        expires_at=arrival.now + STEP_LIFE,
    )
    store.add_link(tx.connection, link, secret.hashed(cookie))
    return SecondStep(cookie=cookie)


def waiting(tx: Tx, arrival: Arrival, cookie: str) -> PendingCode | None:
    """Return the sign-in that waits for its code in the browser with this cookie; None if there is none any more.

    A new password, a reset and a disabled account void the sign-in, as they void every link.
    """
    state = links.find_link(tx, arrival.now, cookie)
    if not state.open or state.purpose not in METHODS or state.administrator is None:
        return None
    factor = second_factor_store.find(tx.connection, state.administrator.id)
    return None if factor is None else PendingCode(state=state, administrator=state.administrator, factor=factor)


def with_code(tx: Tx, arrival: Arrival, cookie: str, factor: SecondFactor, step: int) -> NewSession:
    """Begin the session after a code of this time step. Raises `CodeRefused`."""
    found = _still(tx, arrival, cookie, factor)
    if not second_factor_store.use_step(tx.connection, factor, step):
        raise CodeRefused(SignInRefusal.CODE_USED)
    return _finish(tx, arrival, cookie, found, "code")


def with_recovery_code(tx: Tx, arrival: Arrival, cookie: str, factor: SecondFactor, code: str) -> NewSession:
    """Use the recovery code up, and begin the session. Call only inside a `change`. Raises `CodeRefused`."""
    found = _still(tx, arrival, cookie, factor)
    use_recovery_code(tx, arrival.by(found.administrator.principal("")), found.administrator, code)
    return _finish(tx, arrival, cookie, found, "recovery code")


def use_recovery_code(tx: Tx, act: Act, administrator: Administrator, code: str) -> None:
    """Use a recovery code up, and record that. Call only inside a `change`. Raises `CodeRefused`."""
    factor = second_factor_store.find(tx.connection, administrator.id)
    hashed = hashed_recovery_code(factor.id, code) if factor else ""
    if factor is None or hashed not in factor.recovery_codes:
        raise CodeRefused(SignInRefusal.WRONG_CODE)
    left = tuple(each for each in factor.recovery_codes if each != hashed)
    second_factor_store.keep_recovery_codes(tx.connection, factor, left)
    _record(tx, act, EventKind.RECOVERY_CODE_USED, administrator, left=len(left))


def turn_on(tx: Tx, act: Act, factor: SecondFactor) -> None:
    """Save the second factor of the acting administrator. All other sessions end. Call only inside a `change`.

    Raises `Conflict` if the administrator has one already, or signs in through an OpenID provider.
    """
    whose = find_administrator(tx, act.principal.id)
    whose.require_password_account()
    if whose.has_second_factor:
        raise Conflict("Your second factor is on already.", "Turn it off first.")
    second_factor_store.save(tx.connection, factor)
    ended = sessions.end_every_one_of(tx, act, whose, because="second factor on", but=act.principal.session_id)
    _record(tx, act, EventKind.SECOND_FACTOR_ON, whose, sessions_ended=ended)


def turn_off(tx: Tx, act: Act, factor: SecondFactor, *, step: int | None, recovery_code: str = "") -> None:
    """Remove the acting administrator's second factor after a code. Call only inside a `change`.

    Raises `CodeRefused`.
    """
    whose = find_administrator(tx, act.principal.id)
    if recovery_code:
        use_recovery_code(tx, act, whose, recovery_code)
    elif step is None or not second_factor_store.use_step(tx.connection, factor, step):
        raise CodeRefused(SignInRefusal.CODE_USED)
    _remove(tx, act, whose)
    _record(tx, act, EventKind.SECOND_FACTOR_OFF, whose)


def reset(tx: Tx, act: Act, reference: str) -> Administrator:
    """Remove the second factor of somebody who lost the phone, and end the sessions. Call only inside a `change`.

    Do so whatever the row says, as in `administrators.disable`. The password stays. Another administrator or the
    operator at the server's machine may call this. An admin key must not: with a stolen password, the holder of the
    key could sign in as the person. Raises `NotPermitted`, `Conflict`.
    """
    act.principal.require(Role.ADMIN)
    if act.principal.kind is PrincipalKind.ADMIN_KEY:
        raise NotPermitted(
            "An admin key cannot reset the second factor of a person.",
            "Reset it in the console, or on the server's machine: authsec admin reset-second-factor ADDRESS --data DIR",
        )
    whose = find_administrator(tx, reference, suggests=False)
    if whose.id == act.principal.id:
        raise Conflict(
            "You cannot reset your own second factor.", "Turn it off on the page of your account, with a code."
        )
    _remove(tx, act, whose)
    ended = sessions.end_every_one_of(tx, act, whose, because="second factor reset")
    repeat = repeat_detail(is_repeat=not whose.has_second_factor)
    _record(tx, act, EventKind.SECOND_FACTOR_RESET, whose, sessions_ended=ended, **repeat)
    return replace(whose, has_second_factor=False)


def _still(tx: Tx, arrival: Arrival, cookie: str, factor: SecondFactor) -> PendingCode:
    """Read the sign-in again, and compare the second factor with the one that the code was checked with."""
    found = waiting(tx, arrival, cookie)
    if found is None or found.factor.id != factor.id:
        raise CodeRefused(SignInRefusal.STEP_ENDED)
    return found


def _finish(tx: Tx, arrival: Arrival, cookie: str, found: PendingCode, by: str) -> NewSession:
    assert found.state.purpose is not None  # `waiting` has checked it
    if not links.use(tx, arrival.now, cookie, found.state.purpose).open:
        raise CodeRefused(SignInRefusal.STEP_ENDED)
    return sessions.begin(tx, arrival, found.administrator, METHODS[found.state.purpose], second_factor=by)


def _remove(tx: Tx, act: Act, whose: Administrator) -> None:
    second_factor_store.remove(tx.connection, whose.id)
    for purpose in METHODS:
        store.void_links(tx.connection, whose.id, purpose, act.now)


def _record(tx: Tx, act: Act, kind: EventKind, whose: Administrator, **detail: object) -> None:
    audit.record_act(tx, act, kind, subject=administrators.named(whose), detail=detail)
