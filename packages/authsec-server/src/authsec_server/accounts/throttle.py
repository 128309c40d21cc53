"""Rate limits for password attempts: by network address and by account.

The limit of an account slows down guessing from many addresses. An attacker must not be able to use it to
lock the owner out. So a network from which the owner signed in before has its own limit. Links, the OpenID
provider and valid sessions have no such limit.
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
    """The rate limit keys that one password attempt is charged to."""

    network: str
    account: str


class Guesses:
    """Rate limits on password attempts, both pending and failed.

    Each attempt is charged before its password is checked: otherwise a thousand parallel attempts would pass as
    one. No `Throttle`, which raises: `SignIn` also ends sessions between a charge and the refusal, and refuses
    without a charge. So the methods return the seconds to wait.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._networks = Limiter(FAILURES_A_MINUTE)
        self._accounts = Limiter(GUESSES_A_MINUTE)

    def charge(self, guess: Guess) -> float:
        """Charge the attempt. Return 0.0 if the attempt may go on, else the seconds until the next one may."""
        now = self._monotonic()
        return self._networks.charge(guess.network, now) or self._accounts.charge(guess.account, now)

    def give_back(self, guess: Guess) -> None:
        """Take back the charge: the password was right, so the attempt was no guess."""
        self._networks.give_back(guess.network)
        self._accounts.give_back(guess.account)

    def network_wait(self, address: str) -> float:
        """Return the result of `charge_network` without charging anything."""
        return self._networks.wait(limit_key(address), self._monotonic())

    def charge_network(self, address: str) -> float:
        """Charge another kind of failure to this address. Return the seconds to wait, as `charge` does."""
        return self._networks.charge(limit_key(address), self._monotonic())


def guess(email: str, account: Account | None, address: str) -> Guess:
    """Return the limit keys of an attempt to sign in with this e-mail address.

    A missing account has limits too: otherwise the limits would show which accounts exist.
    """
    network = limit_key(address)
    if account is not None and network in account.networks:
        return Guess(network=network, account=f"{account.administrator.id} {network}")
    typed = read_email(email) or email
    return Guess(network=network, account=sha256(typed.encode("utf-8", "replace")).hexdigest())
