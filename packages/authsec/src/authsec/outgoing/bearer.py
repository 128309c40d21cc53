"""Which token goes along with a request, and what a 401 means for it. Knows no HTTP library."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from authsec.clock import Clock
from authsec.outgoing.origins import Origin
from authsec.safe_text import plain
from authsec.tokens import DelegationToken, HiddenText, TokenRequest

_log = logging.getLogger("authsec")

_UNAUTHORIZED: Final = 401
_PROBATION: Final = 30.0  # seconds for which one new token at most is asked for an API that refuses the newest as well
_MOST_MENTIONED: Final = 64


class Tokens(Protocol):
    """What is needed of `AuthSecClient`."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    def invalidate(self, token: DelegationToken) -> None: ...


def header(token: DelegationToken) -> str:
    """The value of an Authorization header, hidden: `requests` keeps headers in a plain dict."""
    return HiddenText(f"Bearer {token.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """One agent's tokens for requests to `origins`. Shared by any number of threads and event loops."""

    client: Tokens
    origins: frozenset[Origin]
    wanted: TokenRequest
    clock: Clock
    _dropped: dict[Origin, tuple[DelegationToken, float]] = field(default_factory=dict, repr=False, compare=False)
    _mentioned: set[Origin | None] = field(default_factory=set, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """What is copied or pickled knows no token."""
        return _restored, (self.client, self.origins, self.wanted)

    def goes_to(self, origin: Origin | None) -> bool:
        """Whether a token may go there. That it may not is logged once an origin: a 401 from there explains nothing."""
        if origin in self.origins:
            return True
        if origin not in self._mentioned and len(self._mentioned) < _MOST_MENTIONED:
            self._mentioned.add(origin)
            allowed = ", ".join(sorted(map(str, self.origins)))
            _log.warning("no token goes to %s: allowed_origins has %s", plain(str(origin), 300), allowed)
        return False

    def token(self) -> DelegationToken:
        """A living token. Raises `AuthSecError`."""
        return self.client.get_token(self.wanted.scope, self.wanted.resource)

    async def atoken(self) -> DelegationToken:
        """The same for coroutines."""
        return await self.client.aget_token(self.wanted.scope, self.wanted.resource)

    def wants_another(self, status: int, origin: Origin, token: DelegationToken) -> bool:
        """Take note of an API's answer to `token`; whether the request may succeed with another one.

        After a 401 the token is dropped if it is still the one at hand, so that of many callers who sent it the first
        asks the authority and the others get what it got. If an API refuses the new one too, more of them would not
        help: it is wrong about all, or has not heard of a key yet. It costs one token in half a minute then.
        """
        if status != _UNAUTHORIZED:
            self._dropped.pop(origin, None)
            return False
        dropped, until = self._dropped.get(origin, (token, 0.0))
        now = self.clock.monotonic()
        if dropped is not token and now < until:
            return False
        if dropped is not token or now >= until:
            self._dropped[origin] = token, now + _PROBATION
        self.client.invalidate(token)
        return True


def _restored(client: Tokens, origins: frozenset[Origin], wanted: TokenRequest) -> Bearer:
    return Bearer(client=client, origins=origins, wanted=wanted, clock=Clock())
