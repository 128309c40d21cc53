"""The second step of a sign-in, and the second factor of a signed-in person: limits and checks, then a transaction.

A code has six digits, so guesses have two limits: by network address, as for passwords, and by account. The database
counts those of the account, so that several servers have one limit. A person who guesses codes knows the password. So
the limit refuses codes of the app, but no recovery code: the owner still gets in, and can change the password.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from authsec_server.accounts import administrators, second_factor, second_factor_store, transactions
from authsec_server.accounts.model import second_factor as model
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.second_factor import SecondFactor
from authsec_server.accounts.model.sessions import Arrival, BrowserCaller, NewSession, SignInRefusal
from authsec_server.accounts.second_factor import CodeRefused
from authsec_server.accounts.sign_in import TOO_OFTEN, SignIn
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Act, Principal
from authsec_server.web.errors import TooOften, Unauthenticated

log = structlog.get_logger(__name__)

ISSUER = "AuthSec"  # in the list of an authenticator app
WRONG_CODE = "This code is not right."
_MESSAGES = {
    SignInRefusal.WRONG_CODE: (WRONG_CODE, "Type the present code of the app, or an unused recovery code."),
    SignInRefusal.CODE_USED: ("This code was already used.", "Wait for the next code of the app."),
    SignInRefusal.CODE_UNREADABLE: (
        "This server cannot read the secret of your second factor.",
        "Use a recovery code, or ask another administrator to reset your second factor.",
    ),
}


class StepEnded(Unauthenticated):
    """No sign-in waits for a code in this browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """Encryption under the master key. A text that was encrypted for one name cannot be decrypted for another one.

    `seal` takes the octets and the name. `unseal` returns None for octets that this master key did not encrypt.
    """

    seal: Callable[[bytes, str], bytes] = field(repr=False)
    unseal: Callable[[bytes, str], bytes | None] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A new secret that is not saved yet. `sealed` goes through the form of the page."""

    secret: str = field(repr=False)
    app_address: str = field(repr=False)
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A second factor that a code has confirmed, to be saved, with its recovery codes in clear text."""

    factor: SecondFactor
    recovery_codes: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCode:
    """A code of the app, by its time step, or a recovery code that the transaction looks up."""

    factor: SecondFactor
    step: int | None = None
    recovery_code: str = field(default="", repr=False)


class SecondSteps:
    """The second step of a sign-in, and the checks before a second factor is turned on or off. Every method blocks."""

    def __init__(
        self,
        database: Database,
        sign_in: SignIn,
        sealing: Sealing,
        *,
        now: Callable[[], datetime],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._sign_in = sign_in
        self._sealing = sealing
        self._now = now
        self._token_bytes = token_bytes

    def is_waiting(self, cookie: str, caller: BrowserCaller) -> bool:
        """Whether a sign-in waits for its code in the browser with this cookie."""
        return self._database.read(lambda tx: second_factor.waiting(tx, self._arrival(caller), cookie)) is not None

    def by_code(self, cookie: str, typed: str, caller: BrowserCaller) -> NewSession:
        """Begin the session after the code. Raises `StepEnded`, `Invalid` for the field `code`, and `TooOften`."""
        found = self._database.read(lambda tx: second_factor.waiting(tx, self._arrival(caller), cookie))
        with_charge = self._charge_network(found.administrator if found else None, caller)
        if found is None:
            raise self._ended(None, caller)
        checked = self._check(found.factor, found.administrator, typed, caller)

        def enter(tx: Tx) -> NewSession:
            if checked.step is None:
                return second_factor.with_recovery_code(
                    tx, self._arrival(caller), cookie, found.factor, checked.recovery_code
                )
            return second_factor.with_code(tx, self._arrival(caller), cookie, found.factor, checked.step)

        try:
            new = self._database.record(enter) if checked.step is not None else self._database.change(enter)
        except CodeRefused as refused:
            if refused.why is SignInRefusal.STEP_ENDED:
                raise self._ended(found.administrator, caller) from None
            raise self._refused(refused, found.administrator, caller) from None
        with_charge()
        return new

    def begin_setup(self, principal: Principal, *, password: str, caller: BrowserCaller) -> Setup:
        """Make a secret after the password was verified again. Nothing is saved.

        Raises `Invalid` for the field `current`, `Conflict`, and `TooOften`.
        """
        whose = self._sign_in.verify_own_password(principal, password, caller)
        whose.require_password_account()
        if whose.has_second_factor:
            raise Conflict("Your second factor is on already.", "Turn it off first.")
        secret = model.secret_text(self._token_bytes(model.SECRET_BYTES))
        begun = int(self._now().timestamp())
        sealed = self._sealing.seal(json.dumps([secret, begun]).encode(), _setup_name(principal))
        return self._setup(secret, whose, base64.urlsafe_b64encode(sealed).decode())

    def setup_again(self, principal: Principal, sealed: str) -> Setup:
        """Return the setup that the form sent back, to show its page again. Raises `Conflict`."""
        whose = self._database.read(lambda tx: transactions.account_of(tx, principal))
        if whose is None:
            raise Unauthenticated("You are not signed in.")
        return self._setup(self._open_setup(principal, sealed), whose.administrator, sealed)

    def confirm_setup(self, principal: Principal, *, sealed: str, code: str, caller: BrowserCaller) -> Prepared:
        """Check the first code of the app. Raises `Invalid` for the field `code`, `Conflict`, and `TooOften`."""
        secret = self._open_setup(principal, sealed)
        found = self._database.read(lambda tx: transactions.account_of(tx, principal))
        whose = found.administrator if found else None
        with_charge = self._charge_network(whose, caller)
        digits = model.read_code(code)
        step = model.matching_step(secret, digits, self._now()) if digits else None
        if whose is None or step is None:
            raise self._refused(CodeRefused(SignInRefusal.WRONG_CODE), whose, caller)
        with_charge()
        factor_id = self._arrival(caller).new_id()
        codes = [model.recovery_code_of(self._token_bytes(model.RECOVERY_BYTES)) for _ in range(model.RECOVERY_CODES)]
        factor = SecondFactor(
            administrator_id=principal.id,
            id=factor_id,
            since=self._now(),
            sealed=self._sealing.seal(secret.encode(), f"{principal.id} {factor_id}"),
            recovery_codes=tuple(model.hashed_recovery_code(factor_id, each) for each in codes),
            step=step,
        )
        return Prepared(factor=factor, recovery_codes=codes)

    def check_own(self, principal: Principal, *, password: str, typed: str, caller: BrowserCaller) -> CheckedCode:
        """Verify the password and a code of the signed-in person. The transaction must use the code up.

        Raises `Invalid` for the field `current` or `code`, `Conflict`, and `TooOften`.
        """
        whose = self._sign_in.verify_own_password(principal, password, caller)
        factor = self._database.read(lambda tx: second_factor_store.find(tx.connection, whose.id))
        if factor is None:
            raise Conflict("Your second factor is off already.", "There is nothing to turn off.")
        with_charge = self._charge_network(whose, caller)
        checked = self._check(factor, whose, typed, caller)
        if checked.step is not None:
            with_charge()
        return checked

    def refuse(self, refused: CodeRefused, act: Act, caller: BrowserCaller) -> Invalid:
        """Count a code that the transaction refused to this principal, and return the exception to raise."""
        whose = self._database.read(lambda tx: administrators.get(tx, act, act.principal.id))
        return self._refused(refused, whose, caller)

    def _check(self, factor: SecondFactor, whose: Administrator, typed: str, caller: BrowserCaller) -> CheckedCode:
        """Check the form of the code, and a code of the app against the secret. Raises `Invalid`, `TooOften`."""
        if recovery := model.read_recovery_code(typed):
            if (
                model.hashed_recovery_code(factor.id, recovery) not in factor.recovery_codes
            ):  # before the exclusive lock
                raise self._refused(CodeRefused(SignInRefusal.WRONG_CODE), whose, caller)
            return CheckedCode(factor=factor, recovery_code=recovery)
        code = model.read_code(typed)
        if not code:
            raise self._refused(CodeRefused(SignInRefusal.WRONG_CODE), whose, caller)
        # Before the check: a thousand parallel attempts must not pass as one.
        wait = self._database.append(lambda tx: second_factor_store.charge_code(tx.connection, factor, self._now()))
        self._refuse_over_limit(wait, whose, caller)
        secret = self._sealing.unseal(factor.sealed, factor.sealed_name)
        if secret is None:
            log.error("the secret of a second factor cannot be decrypted", administrator=whose.id)
            raise self._refused(CodeRefused(SignInRefusal.CODE_UNREADABLE), whose, caller)
        step = model.matching_step(secret.decode(), code, self._now())
        if step is None:
            raise self._refused(CodeRefused(SignInRefusal.WRONG_CODE), whose, caller)
        return CheckedCode(factor=factor, step=step)

    def _charge_network(self, whose: Administrator | None, caller: BrowserCaller) -> Callable[[], None]:
        """Charge the attempt to the address. Return the function that takes the charge back. Raises `TooOften`."""
        self._refuse_over_limit(self._sign_in.guesses.charge_network(caller.address), whose, caller)
        return lambda: self._sign_in.guesses.refund_network(caller.address)

    def _refuse_over_limit(self, wait: float, whose: Administrator | None, caller: BrowserCaller) -> None:
        if wait:
            self._count(SignInRefusal.RATE_LIMITED, whose, caller)
            raise TooOften(TOO_OFTEN, wait)

    def _refused(self, refused: CodeRefused, whose: Administrator | None, caller: BrowserCaller) -> Invalid:
        """Count the refused code, and return the exception to raise."""
        self._count(refused.why, whose, caller)
        return Invalid("code", *_MESSAGES[refused.why])

    def _ended(self, whose: Administrator | None, caller: BrowserCaller) -> StepEnded:
        self._count(SignInRefusal.STEP_ENDED, whose, caller)
        return StepEnded("This sign-in took too long, or it was finished already. Sign in again.")

    def _count(self, why: SignInRefusal, whose: Administrator | None, caller: BrowserCaller) -> None:
        self._database.append(lambda tx: transactions.refused(tx, self._arrival(caller), why, whose))

    def _setup(self, secret: str, whose: Administrator, sealed: str) -> Setup:
        address = model.app_address(secret, account=whose.email, issuer=ISSUER)
        return Setup(secret=secret, app_address=address, sealed=sealed)

    def _open_setup(self, principal: Principal, sealed: str) -> str:
        """Return the secret in the form. Raises `Conflict` if the form is too old, or belongs to another session."""
        try:
            blob = base64.urlsafe_b64decode(sealed.encode())
        except (binascii.Error, UnicodeEncodeError):
            blob = b""
        plain = self._sealing.unseal(blob, _setup_name(principal))
        secret, begun = json.loads(plain) if plain else ("", 0)
        if not secret or self._now().timestamp() - begun > model.SETUP_LIFE.total_seconds():
            raise Conflict("This page is too old, so its QR code is not valid any more.", "Start again.")
        return str(secret)

    def _arrival(self, caller: BrowserCaller) -> Arrival:
        return Arrival(caller=caller, now=self._now(), token_bytes=self._token_bytes)


def _setup_name(principal: Principal) -> str:
    return f"setup {principal.id} {principal.session_id}"
