"""Sign-in for the console: check rate limits, hash the password, then begin the session in one transaction.

Two rate limits bound password attempts: by network address and by account. The limit of an account slows down guessing
from many addresses. An attacker must not use this limit to lock the owner out. Therefore each network from which the
owner signed in before has its own limit. Sign-in by a link or an OpenID provider and requests with a valid session have
no limit by account.

Every method blocks its thread and writes the audit log before it returns. If the audit log cannot be
written, nobody is signed in. Each server process has a share of each rate limit, and counts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TypeVar

from authsec_server import naming
from authsec_server.accounts import administrators, links, passwords, transactions
from authsec_server.accounts.model.administrators import (
    Administrator,
    LinkPurpose,
    LinkState,
    LinkStatus,
    NewLink,
    checked_email,
    read_email,
)
from authsec_server.accounts.model.sessions import Arrival, BrowserCaller, NewSession, SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.accounts.passwords import Hashing
from authsec_server.accounts.second_factor import METHODS, SecondStep
from authsec_server.accounts.transactions import Account, LinkRefused, RefusedSignIn
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import LOCAL_OPERATOR, Principal, Role
from authsec_server.web.errors import TooOften, Unauthenticated
from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import WHOLE, Limiter, Share

T = TypeVar("T")
FAILURES_A_MINUTE = 20  # for each network address
GUESSES_A_MINUTE = 10  # for each account
_LINK_MESSAGES = {
    LinkStatus.USED: "This link was already used. A link works only once.",
    LinkStatus.VOIDED: "This link is no longer valid: a newer link replaced it.",
    LinkStatus.EXPIRED: "This link has expired.",
    LinkStatus.TOO_LATE: "This link is no longer valid: the first administrator already exists, or the "
    "administrator of the link is disabled.",
    LinkStatus.UNKNOWN: "This link is not from this authority, is incomplete, or expired some time ago.",
}
_LINK_REMEDY = "Ask the sender for a new link. On the server's machine, `authsec admin setup-url` makes one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The keys of the two rate limits that one password attempt is charged to."""

    network: str
    account: str


class Guesses:
    """Rate limits on password attempts, both pending and failed.

    Each attempt is charged before its password is checked. Otherwise a thousand parallel attempts would pass as
    one. The methods return the seconds to wait, while `Throttle` raises. The reason: `SignIn` ends sessions
    between a charge and the refusal, and also refuses without a charge.
    """

    def __init__(self, monotonic: Callable[[], float], share: Share) -> None:
        self._monotonic = monotonic
        self._networks = Limiter(share.of_failures(FAILURES_A_MINUTE))
        self._accounts = Limiter(share.of_failures(GUESSES_A_MINUTE))

    def charge(self, guess: Guess) -> float:
        """Charge the attempt to its limits. Return 0.0 if the attempt is allowed, else the seconds to wait."""
        now = self._monotonic()
        return self._networks.charge(guess.network, now) or self._accounts.charge(guess.account, now)

    def refund(self, guess: Guess) -> None:
        """Take back the charge: the password was right, so the attempt was no guess."""
        self._networks.refund(guess.network)
        self._accounts.refund(guess.account)

    def refund_network(self, address: str) -> None:
        """Take back a charge of `charge_network`."""
        self._networks.refund(limit_key(address))

    def network_wait(self, address: str) -> float:
        """Return the seconds that `charge_network` would return. Charge nothing."""
        return self._networks.wait(limit_key(address), self._monotonic())

    def charge_network(self, address: str) -> float:
        """Charge a failure that is no password attempt to this address. Return the seconds to wait, as in `charge`."""
        return self._networks.charge(limit_key(address), self._monotonic())


def guess(email: str, account: Account | None, address: str) -> Guess:
    """Return the rate limit keys of an attempt to sign in with this e-mail address.

    An address without an account has a limit too. Otherwise the limits would show which accounts exist.
    """
    network = limit_key(address)
    if account is not None and network in account.networks:
        return Guess(network=network, account=f"{account.administrator.id} {network}")
    typed = read_email(email) or email
    return Guess(network=network, account=sha256(typed.encode("utf-8", "replace")).hexdigest())


# The same message for an unknown address, a wrong password and a disabled account: it must not reveal accounts.
WRONG = "The e-mail address or the password is not right."
TOO_OFTEN = "Too many sign-ins have failed."
_IDENTITY_REFUSED = {
    SignInRefusal.DISABLED: "Your account is disabled. Another administrator can enable it.",
    SignInRefusal.IDENTITY_EMAIL_TAKEN: (
        "Another account on this server already has your e-mail address, so you cannot sign in. An administrator "
        "must first change the address of that account."
    ),
}


class SignIn:
    """All ways for a person to sign in. `authentication.py` authenticates the browser's later requests."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        token_bytes: Callable[[int], bytes],
        hashing: Hashing | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._database = database
        self._now = now
        self._token_bytes = token_bytes
        self._hashing = hashing or Hashing()
        self.guesses = Guesses(monotonic, share)

    def by_password(self, email: str, password: str, caller: BrowserCaller) -> NewSession | SecondStep:
        """Begin a session for this address and password, or its second step.

        Raises `Unauthenticated`, `TooOften`, `Unavailable`.
        """
        found = self._database.read(lambda tx: transactions.account(tx, email))
        charged = self._charge(guess(email, found, caller.address), found, caller)
        account = self._verified(found, password, caller)
        rehashed = self._rehashed(account, password)
        try:
            session = self._database.record(
                lambda tx: transactions.with_password(tx, self._arrival(caller), account, rehashed=rehashed)
            )
        except RefusedSignIn as refused:
            raise self._refuse(refused, caller) from None
        self.guesses.refund(charged)
        return session

    def change_password(self, principal: Principal, *, current: str, new: str, caller: BrowserCaller) -> None:
        """Replace the principal's own password, and end the principal's other sessions.

        Raises `Invalid` for the field `current` or `password`.
        """
        account = self._verified_own(principal, current, caller)
        password = passwords.acceptable(new, known=_known(account.administrator))
        password_hash = self._hashing.hash(password)
        try:
            self._database.change(
                lambda tx: transactions.with_new_password(
                    tx, self._arrival(caller).by(principal), account, password_hash
                )
            )
        except RefusedSignIn as refused:
            raise self._refuse(refused, caller) from None

    def verify_own_password(self, principal: Principal, password: str, caller: BrowserCaller) -> Administrator:
        """Verify the password of the signed-in person again. Raises `Invalid` for `current`, `TooOften`."""
        return self._verified_own(principal, password, caller).administrator

    def find_link(self, code: str) -> LinkState:
        """Return the state of a link. This does not use the link up, so mail scanners may open it."""
        state = self._database.read(lambda tx: links.find_link(tx, self._now(), code))
        return LinkState(status=LinkStatus.UNKNOWN) if state.purpose in METHODS else state

    def set_up_first(self, code: str, *, email: str, name: str, password: str, caller: BrowserCaller) -> NewSession:
        """Create the first administrator, and begin a session.

        Raises `Invalid` if a field is invalid, `Conflict` if the link does not work (any more), and `TooOften`.
        """
        self._open_link(code, LinkPurpose.FIRST_ADMINISTRATOR, caller)
        address, shown = checked_email("email", email), naming.name("name", name)
        password_hash = self._hashing.hash(passwords.acceptable(password, known=[address, shown]))
        return self._with_link(
            caller,
            lambda tx, arrival: transactions.set_up_first(
                tx, arrival, code, email=address, name=shown, password_hash=password_hash
            ),
        )

    def set_password(self, code: str, *, password: str, caller: BrowserCaller) -> NewSession | SecondStep:
        """Set the password of an invited or reset person, and begin a session, or its second step.

        Raises the errors of `set_up_first`.
        """
        state = self._open_link(code, LinkPurpose.SET_PASSWORD, caller)
        known = _known(state.administrator) if state.administrator else []
        password_hash = self._hashing.hash(passwords.acceptable(password, known=known))
        return self._with_link(caller, lambda tx, arrival: transactions.set_password(tx, arrival, code, password_hash))

    def by_link(self, code: str, caller: BrowserCaller) -> NewSession | SecondStep:
        """Begin a session, or its second step, by a sign-in link, which works once. Call only on a POST.

        Raises `Conflict`, `TooOften`.
        """
        # Before the lock: a wrong link must not delay token requests.
        self._open_link(code, LinkPurpose.SIGN_IN, caller)
        return self._with_link(caller, lambda tx, arrival: transactions.with_link(tx, arrival, code))

    def by_identity(
        self, *, issuer: str, subject: str, email: str, name: str, role: Role, caller: BrowserCaller
    ) -> NewSession:
        """Begin a session for an identity at an OpenID provider. The caller has verified the ID token.

        `role` is the role that the person's claims grant. If they grant none, call `refuse_identity` instead.
        Raises `Unauthenticated`, `Invalid`.
        """

        def enter(tx: Tx) -> NewSession:
            arrival = self._arrival(caller)
            who = transactions.from_identity(
                tx, arrival, issuer=issuer, subject=subject, email=email, name=name, role=role
            )
            return transactions.with_identity(tx, arrival, who)

        try:
            return self._database.change(enter)
        except RefusedSignIn as refused:
            raise self._refuse(refused, caller, said=_IDENTITY_REFUSED.get(refused.why, WRONG)) from None

    def before_the_provider(self, caller: BrowserCaller) -> None:
        """Raise `TooOften` if too many sign-ins from this address have failed.

        Call this before each request to the provider. A browser can send invented authorization responses, and this
        server asks the provider about each of them. Without this limit, strangers could cause so many requests that
        the provider blocks this server.
        """
        self._refuse_over_limit(self.guesses.network_wait(caller.address), None, caller)

    def refuse_identity(
        self, reason: OpenIdRefusal, caller: BrowserCaller, *, whom: tuple[str, str] | None = None
    ) -> None:
        """Count a refused sign-in through an OpenID provider. Raises `TooOften`.

        `whom` is the issuer and subject of a person to whom the provider grants no role. This method ends all
        sessions of that person.
        """
        wait = self.guesses.charge_network(caller.address)
        whose = self._without_role(whom, caller) if whom else None
        self._refuse_over_limit(wait, whose, caller)
        self._count(reason, whose, caller)

    def has_administrator(self) -> bool:
        """Return whether any administrator exists."""
        return self._database.read(administrators.has_any)

    def first_link(self) -> NewLink | None:
        """Make the link that creates the first administrator. Return None if an administrator exists.

        `authsec serve` prints the link at its terminal.
        """
        at_the_terminal = BrowserCaller(request_id="", address="")
        try:
            return self._database.change(
                lambda tx: administrators.for_the_first(tx, self._arrival(at_the_terminal).by(LOCAL_OPERATOR))
            )
        except Conflict:
            return None  # an administrator exists already

    def _without_role(self, whom: tuple[str, str], caller: BrowserCaller) -> Administrator | None:
        return self._database.change(lambda tx: transactions.without_role(tx, self._arrival(caller), *whom))

    def _arrival(self, caller: BrowserCaller) -> Arrival:
        return Arrival(caller=caller, now=self._now(), token_bytes=self._token_bytes)

    def _charge(self, charged: Guess, account: Account | None, caller: BrowserCaller) -> Guess:
        self._refuse_over_limit(self.guesses.charge(charged), account.administrator if account else None, caller)
        return charged

    def _refuse_over_limit(self, wait: float, whose: Administrator | None, caller: BrowserCaller) -> None:
        """If `wait` is more than 0 seconds, count the refusal and raise `TooOften`."""
        if wait:
            self._count(SignInRefusal.RATE_LIMITED, whose, caller)
            raise TooOften(TOO_OFTEN, wait)

    def _verified_own(self, principal: Principal, password: str, caller: BrowserCaller) -> Account:
        found = self._database.read(lambda tx: transactions.account_of(tx, principal))
        charged = self._charge(guess("", found, caller.address), found, caller)
        try:
            account = self._verified(found, password, caller)
        except Unauthenticated:
            raise Invalid("current", "This is not your current password.") from None
        self.guesses.refund(charged)
        return account

    def _verified(self, account: Account | None, password: str, caller: BrowserCaller) -> Account:
        """Return the account if the password is right. Raises `Unauthenticated`.

        The password is hashed even if the account does not exist. Otherwise the response time would show which
        accounts exist.
        """
        right = self._hashing.verify(account.password_hash if account else None, password)
        if account is None:
            raise self._refuse(RefusedSignIn(SignInRefusal.UNKNOWN), caller)
        if not right:
            why = SignInRefusal.WRONG_PASSWORD if account.password_hash else SignInRefusal.NO_PASSWORD
            raise self._refuse(RefusedSignIn(why, account.administrator), caller)
        return account

    def _rehashed(self, account: Account, password: str) -> str | None:
        """Hash the password with the current parameters if its stored hash has older ones; else return None."""
        if account.password_hash is None or not self._hashing.is_outdated(account.password_hash):
            return None
        return self._hashing.hash(passwords.entered(password))

    def _open_link(self, code: str, purpose: LinkPurpose, caller: BrowserCaller) -> LinkState:
        """Return the link's state if the link is open and has this purpose. Raises `Conflict`, `TooOften`.

        Call this before a new password is checked or hashed, so that only the holder of an open link causes this
        work.
        """
        state = self.find_link(code)
        if not state.open or state.purpose is not purpose:
            raise self._link_refused(state, caller)
        return state

    def _with_link(self, caller: BrowserCaller, enter: Callable[[Tx, Arrival], T]) -> T:
        try:
            return self._database.change(lambda tx: enter(tx, self._arrival(caller)))
        except LinkRefused as refused:
            raise self._link_refused(refused.state, caller) from None

    def _link_refused(self, state: LinkState, caller: BrowserCaller) -> Conflict:
        """Count the refused link, and return the exception to raise. Raises `TooOften`.

        The rate limit only keeps wrong attempts cheap: nobody can guess the 256 bits of a link. An open link is
        never limited.
        """
        self._refuse_over_limit(self.guesses.charge_network(caller.address), None, caller)
        status = LinkStatus.UNKNOWN if state.open else state.status  # the link is open, but has another purpose
        why = SignInRefusal.LINK_ENDED if state.link else SignInRefusal.LINK_UNKNOWN
        self._count(why, state.administrator, caller)
        return Conflict(_LINK_MESSAGES[status], _LINK_REMEDY)

    def _refuse(self, refused: RefusedSignIn, caller: BrowserCaller, *, said: str = WRONG) -> Unauthenticated:
        self._count(refused.why, refused.whose, caller)
        return Unauthenticated(said)

    def _count(self, why: SignInRefusal | OpenIdRefusal, whose: Administrator | None, caller: BrowserCaller) -> None:
        self._database.append(lambda tx: transactions.refused(tx, self._arrival(caller), why, whose))


def _known(administrator: Administrator) -> list[str]:
    """Return the person's public facts, which attackers try first in a password."""
    return [administrator.email, administrator.name]
