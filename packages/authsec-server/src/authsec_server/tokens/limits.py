"""How often tokens may be asked for: by address at once; by client only after proof, so that an id harms nobody."""

from __future__ import annotations

from collections.abc import Callable

from authsec_server.web.context import limit_key
from authsec_server.web.limits import Limiter


class TokenLimits:
    """Three limits, in requests a minute; `clock` is monotonic, in seconds. Answers 0.0, or the seconds to wait."""

    def __init__(self, *, address: int, unproved: int, client: int, clock: Callable[[], float]) -> None:
        self._address = Limiter(address)
        self._unproved = Limiter(unproved)
        self._client = Limiter(client)
        self._clock = clock

    def charge_address(self, address: str) -> float:
        """Any request from this address."""
        return self._address.charge(limit_key(address), self._clock())

    def charge_client(self, client_id: str, address: str, *, attested: bool) -> float:
        """A request that proved to be the client; one that proved nothing is charged to its address too."""
        if attested:
            return self._client.charge(client_id, self._clock())
        return self._unproved.charge(f"{client_id} {limit_key(address)}", self._clock())
