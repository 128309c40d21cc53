"""The door for whoever holds a token and wants it to end (RFC 7009): limit, signature, look, and only then the lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from authsec_server.db import Database
from authsec_server.tokens import revoking
from authsec_server.tokens.ours import OwnTokens
from authsec_server.web.context import limit_key
from authsec_server.web.errors import TooOften
from authsec_server.web.limits import Limiter


@dataclass(frozen=True, slots=True, kw_only=True)
class GivingUp:
    """Ends tokens that are shown to it. Blocks its thread.

    The token is the only credential that is asked for. Agents that shut down, and scanners that come upon a token in a
    log, have no other; and whoever holds one could do worse with it than to end it.
    """

    database: Database
    tokens: OwnTokens
    rate: Limiter
    now: Callable[[], datetime]
    monotonic: Callable[[], float]

    def give_up(self, token: str, *, request_id: str, address: str) -> None:
        """End the token if it is one of ours that can be used; of any other nothing is said (RFC 7009 section 2.2).

        What is not needs no lock, which agents wait for, and leaves nothing in the journal: neither can be had by
        sending the same token again and again. Raises `TooOften` or `Unavailable`.
        """
        if wait := self.rate.charge(limit_key(address), self.monotonic()):
            raise TooOften("Too many tokens were revoked from this address.", wait)
        jws = self.tokens.read(token)
        if jws is None:
            return
        jti = str(jws.claims["jti"])
        if self.database.read(lambda tx: revoking.counts(tx, jti, self.now())):
            self.database.change(
                lambda tx: revoking.give_up(tx, jti, self.now(), request_id=request_id, address=address)
            )
