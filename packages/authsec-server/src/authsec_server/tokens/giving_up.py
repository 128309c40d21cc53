"""The door for whoever holds a token and wants it to end (RFC 7009): limit, signature, look, and only then the lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from authsec_server.audit.model import Event
from authsec_server.db import Database
from authsec_server.tokens import revoking
from authsec_server.tokens.ours import OwnTokens
from authsec_server.web.context import limit_key
from authsec_server.web.errors import TooOften
from authsec_server.web.limits import Limiter

OF_A_CLIENT, SECONDS = 30, 3600  # each is an entry of the feed, for a week, which every API reads


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
    of_client: Limiter = field(default_factory=lambda: Limiter(OF_A_CLIENT, seconds=SECONDS))

    def give_up(self, token: str, *, request_id: str, address: str) -> None:
        """End the token if it is one of ours that can be used; of any other nothing is said (RFC 7009 section 2.2).

        What is not needs no lock, which agents wait for, and leaves nothing in the journal: neither can be had by
        sending the same token again and again. And an agent that ends each token it gets makes the feed of all longer:
        a client has so many an hour. Raises `TooOften` or `Unavailable`.
        """
        if wait := self.rate.charge(limit_key(address), self.monotonic()):
            raise TooOften("Too many tokens were revoked from this address.", wait)
        jws = self.tokens.read(token)
        if jws is None:
            return
        jti = str(jws.claims["jti"])
        if found := self.database.read(lambda tx: revoking.counts(tx, jti, self.now())):
            self._charge(found.event)
            self.database.change(
                lambda tx: revoking.give_up(tx, jti, self.now(), request_id=request_id, address=address)
            )

    def _charge(self, issued: Event) -> None:
        whose = issued.client.id if issued.client else ""
        if wait := self.of_client.charge(whose, self.monotonic()):
            raise TooOften(
                f"{OF_A_CLIENT} tokens of this agent were revoked in this way within an hour, and this one was not. "
                "An administrator can end all at once (authsec agents revoke-tokens), or this one (authsec revoke).",
                wait,
            )
