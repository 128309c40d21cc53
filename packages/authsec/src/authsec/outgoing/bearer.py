"""The bearer token of a request to an allowed origin (RFC 6454), and the effect of a 401.

This module imports no HTTP client library.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from authsec.clock import Clock
from authsec.config import is_loopback, with_scheme
from authsec.errors import ConfigError
from authsec.safe_text import plain
from authsec.tokens import DelegationToken, HiddenText, TokenRequest

_log = logging.getLogger("authsec")

_UNAUTHORIZED: Final = 401
# Seconds. While an API refuses new tokens too, the agent requests at most one token in this time.
_PROBATION: Final = 30.0
_MOST_MENTIONED: Final = 64

_PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "allowed_origins=['https://crm.example.com']"


class Tokens(Protocol):
    """The part of `AuthSecClient` that `Bearer` uses."""

    def get_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    async def aget_token(self, scope: str | None, resource: tuple[str, ...] | None) -> DelegationToken: ...

    def headers(self, token: DelegationToken, method: str, url: str) -> dict[str, str]: ...

    def invalidate(self, token: DelegationToken) -> None: ...


def header(token: DelegationToken) -> str:
    """Return the value of the Authorization header as `HiddenText`.

    `requests` keeps headers in a plain dict, and the repr of this dict would show the token.
    """
    return HiddenText(f"{token.token_type} {token.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """One agent's tokens for requests to the allowed `origins`. Threads and event loops can share the object."""

    client: Tokens
    origins: frozenset[Origin]
    wanted: TokenRequest
    clock: Clock
    _dropped: dict[Origin, tuple[DelegationToken, float]] = field(default_factory=dict, repr=False, compare=False)
    _mentioned: set[Origin | None] = field(default_factory=set, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make a copy or a pickle without any token."""
        return _restored, (self.client, self.origins, self.wanted)

    def allows(self, origin: Origin | None) -> bool:
        """Whether this origin may receive a token.

        Each origin that gets no token is logged once. Otherwise nobody could see why the API at this origin answers
        401.
        """
        if origin in self.origins:
            return True
        if origin not in self._mentioned and len(self._mentioned) < _MOST_MENTIONED:
            self._mentioned.add(origin)
            allowed = ", ".join(sorted(map(str, self.origins)))
            _log.warning("no token is sent to %s: allowed_origins has %s", plain(str(origin), 300), allowed)
        return False

    def token(self) -> DelegationToken:
        """Return a valid token. Raises `AuthSecError`."""
        return self.client.get_token(self.wanted.scope, self.wanted.resource)

    async def atoken(self) -> DelegationToken:
        """Return a valid token as `token` does, for coroutines."""
        return await self.client.aget_token(self.wanted.scope, self.wanted.resource)

    def needs_new_token(self, status: int, origin: Origin, token: DelegationToken) -> bool:
        """Record an API's response to `token`. Return whether a retry with another token may succeed.

        After a 401 the cache drops this token, unless the cache already has a newer token. If many callers have the
        same token, the first caller requests a new token and the others share it.

        If the API refuses the new token too, the agent requests at most one token in 30 seconds. Such an API refuses
        every token, or has not yet fetched a new key.
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


class Origin(NamedTuple):
    """The scheme, the host in lower case (IPv6 without brackets) and the port of a URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, scheme: str, host: str, port: int | None) -> Origin | None:
        """Build an origin. Return None without a host, or for a scheme other than http and https."""
        if scheme not in _PORTS or not host:
            return None
        return cls(scheme, host.lower().strip("[]"), _PORTS[scheme] if port is None else port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def origin_of(url: str) -> Origin | None:
    r"""Return the origin of a URL; None if the URL has no origin, or if two parsers read different origins.

    `requests` checks a URL with one parser and connects with another parser. With an address such as
    `https://a.example\@b.example`, the check could see one host while the request goes to the other host.
    """
    try:
        one, other = urlsplit(url), parse_url(url)
        first = Origin.of(one.scheme, one.hostname or "", one.port)
        second = Origin.of(other.scheme or "", other.host or "", other.port)
    except (ValueError, LocationParseError):
        return None  # no valid URL, so no token is sent
    return first if first == second else None


def named_origins(names: str | Sequence[str], allow_http_hosts: Collection[str]) -> frozenset[Origin]:
    """Return the origins that a program allows. Raises `ConfigError` for an empty list or an invalid origin."""
    origins = frozenset(_named(name, allow_http_hosts) for name in ([names] if isinstance(names, str) else names or ()))
    if not origins:
        raise _invalid(f"allowed_origins is empty, so no API would ever get a token. Name the APIs, as in {_EXAMPLE}.")
    return origins


def _named(name: str, allow_http_hosts: Collection[str]) -> Origin:
    wanted = f"allowed_origins needs origins: scheme, host and, if it is not the default, port, as in {_EXAMPLE}."
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or "*" in name:
        raise _invalid(
            f"{wanted} Wildcards are not supported. Write a host name with non-ASCII letters in its ASCII form, which "
            "begins with xn--."
        )
    if meant := with_scheme(name):
        raise _invalid(f"An entry of allowed_origins has no scheme. Did you mean {meant}? {wanted}")
    origin = origin_of(name)
    if origin is None:
        raise _invalid(wanted)
    if name.removesuffix("/").lower() not in {str(origin), f"{origin}:{origin.port}"}:
        raise _invalid(f"{wanted} An origin has no path, query or user name. Did you mean {origin}?")
    trusted_network = is_loopback(origin.host) or origin.host in {host.lower() for host in allow_http_hosts}
    if origin.scheme == "http" and not trusted_network:
        raise _invalid(
            f"{origin} is plain http, so others on the network could read this agent's tokens. Use https, or, if "
            f"the network to this host is trusted, set AUTHSEC_ALLOW_HTTP_HOSTS={origin.host}"
        )
    return origin


def _invalid(message: str) -> ConfigError:
    return ConfigError(message, reason="allowed_origins_invalid")
