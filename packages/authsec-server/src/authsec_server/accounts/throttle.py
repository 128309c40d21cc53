"""How often passwords may be tried: by address, and by account.

The limit of an account slows down guessing from many addresses. It must not be the weapon that keeps its owner out: a
network from which the owner signed in before has a limit of its own, and links, the OpenID provider and sessions that
stand are not concerned.
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
    """What one try is charged to."""

    network: str
    account: str


class Guesses:
    """Tries under way and failed. Each is charged before it is checked: a thousand at once are not one."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._networks = Limiter(FAILURES_A_MINUTE)
        self._accounts = Limiter(GUESSES_A_MINUTE)

    def charge(self, guess: Guess) -> float:
        """Count the try. 0.0: it may be checked; else the seconds until the next one may."""
        now = self._monotonic()
        return self._networks.charge(guess.network, now) or self._accounts.charge(guess.account, now)

    def give_back(self, guess: Guess) -> None:
        """The try was right: it was no guess."""
        self._networks.give_back(guess.network)
        self._accounts.give_back(guess.account)

    def network_wait(self, address: str) -> float:
        """What `charge_network` would answer, with nothing counted."""
        return self._networks.wait(limit_key(address), self._monotonic())

    def charge_network(self, address: str) -> float:
        """Count something else that failed from there."""
        return self._networks.charge(limit_key(address), self._monotonic())


def guess(email: str, account: Account | None, address: str) -> Guess:
    """A try at this address of an account, which there need not be: the limits must not tell."""
    network = limit_key(address)
    if account is not None and network in account.networks:
        return Guess(network=network, account=f"{account.administrator.id} {network}")
    typed = read_email(email) or email
    return Guess(network=network, account=sha256(typed.encode("utf-8", "replace")).hexdigest())
