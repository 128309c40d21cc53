"""Rate limits for password attempts: by network address and by account.

The limit of an account slows down guessing from many addresses. An attacker must not use this limit to lock
the owner out. Therefore each network from which the owner signed in before has its own limit. Sign-in by a
link or an OpenID provider and requests with a valid session have no limit by account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from authsec_server.accounts.model.administrators import read_email
from authsec_server.accounts.transactions import Account
from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import Limiter

FAILURES_A_MINUTE = 20  # from one address
GUESSES_A_MINUTE = 10  # at one account


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

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._networks = Limiter(FAILURES_A_MINUTE)
        self._accounts = Limiter(GUESSES_A_MINUTE)

    def charge(self, guess: Guess) -> float:
        """Charge the attempt to its limits. Return 0.0 if the attempt is allowed, else the seconds to wait."""
        now = self._monotonic()
        return self._networks.charge(guess.network, now) or self._accounts.charge(guess.account, now)

    def refund(self, guess: Guess) -> None:
        """Take back the charge: the password was right, so the attempt was no guess."""
        self._networks.refund(guess.network)
        self._accounts.refund(guess.account)

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
