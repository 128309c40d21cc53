"""Where a token may go: to the origins (RFC 6454) that the program names, compared exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from authsec.config import is_loopback, with_scheme
from authsec.errors import ConfigError

_PORTS: Final = {"http": 80, "https": 443}
_EXAMPLE: Final = "allowed_origins=['https://crm.example.com']"


class Origin(NamedTuple):
    """Scheme, host in small letters (IPv6 without brackets) and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, scheme: str, host: str, port: int | None) -> Origin | None:
        """None for what is no address of the web."""
        if scheme not in _PORTS or not host:
            return None
        return cls(scheme, host.lower().strip("[]"), _PORTS[scheme] if port is None else port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def origin_of(url: str) -> Origin | None:
    """The origin of a URL; None for one that has none, or that two parsers read in two ways.

    `requests` reads a URL by one of them and connects by the other, so an address such as `https://a.example\\@b.example`
    might be checked as one host and sent to another.
    """
    try:
        one, other = urlsplit(url), parse_url(url)
        first = Origin.of(one.scheme, one.hostname or "", one.port)
        second = Origin.of(other.scheme or "", other.host or "", other.port)
    except (ValueError, LocationParseError):
        return None  # no origin is named by it, so it gets no token
    return first if first == second else None


def named_origins(names: str | Sequence[str], allow_http_hosts: Collection[str]) -> frozenset[Origin]:
    """The origins that a program allows; raises `ConfigError` for none, and for what is not exactly one."""
    origins = frozenset(_named(name, allow_http_hosts) for name in ([names] if isinstance(names, str) else names or ()))
    if not origins:
        raise _invalid(f"allowed_origins is empty, so no API would ever get a token. Name the APIs, as in {_EXAMPLE}.")
    return origins


def _named(name: str, allow_http_hosts: Collection[str]) -> Origin:
    wanted = f"allowed_origins takes origins: scheme, host and, unless it is the usual one, port, as in {_EXAMPLE}."
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or "*" in name:
        raise _invalid(f"{wanted} There are no wildcards; names in other scripts are written in their ASCII form.")
    if meant := with_scheme(name):
        raise _invalid(f"An entry of allowed_origins lacks its scheme. Is it {meant}? {wanted}")
    origin = origin_of(name)
    if origin is None:
        raise _invalid(wanted)
    if name.removesuffix("/").lower() not in {str(origin), f"{origin}:{origin.port}"}:
        raise _invalid(f"{wanted} A path, a query or a user name does not belong there: is it {origin}?")
    trusted_network = is_loopback(origin.host) or origin.host in {host.lower() for host in allow_http_hosts}
    if origin.scheme == "http" and not trusted_network:
        raise _invalid(
            f"{origin} is plain http, over which anybody on the way could read this agent's tokens. Use https, or, if "
            f"the network to this host is trusted, set AUTHSEC_ALLOW_HTTP_HOSTS={origin.host}"
        )
    return origin


def _invalid(message: str) -> ConfigError:
    return ConfigError(message, reason="allowed_origins_invalid")
