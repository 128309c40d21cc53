"""The rate limits of token requests."""

from __future__ import annotations

from collections.abc import Callable

from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import Limiter


class TokenLimits:
    """The three rate limits of token requests, in requests a minute. `clock` is monotonic, in seconds.

    Each method returns 0.0 within the limit, or the seconds to wait. The class `Throttle` is not used, because
    it raises an exception. A refused token request is a value (`Denied`), not an exception.
    """

    def __init__(self, *, address: int, unproved: int, client: int, clock: Callable[[], float]) -> None:
        self._address = Limiter(address)
        self._unproved = Limiter(unproved)
        self._client = Limiter(client)
        self._clock = clock

    def charge_address(self, address: str) -> float:
        """Charge a request to the rate limit of its address. Every request is charged."""
        return self._address.charge(limit_key(address), self._clock())

    def wait_of_address(self, address: str) -> float:
        """Return what `charge_address` would return, without a charge."""
        return self._address.wait(limit_key(address), self._clock())

    def charge_client(self, client_id: str, address: str, *, attested: bool) -> float:
        """Charge a request to the client's rate limit.

        An unattested request is charged to the limit of its pair of client and address instead.
        """
        if attested:
            return self._client.charge(client_id, self._clock())
        return self._unproved.charge(f"{client_id} {limit_key(address)}", self._clock())
