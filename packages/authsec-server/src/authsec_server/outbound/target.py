"""A URL that every parser reads in the same way, taken apart. Pure.

What one reader takes for a name and another for an address is how checks are passed by one host and the request sent to
another. So there is one spelling for each address, and the rest is refused.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from authsec_server.outbound.failure import FailureReason, OutboundFailed

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST = 2048
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes. `host` is in lower case and without brackets; `resource` is path and query."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def address(self) -> IPAddress | None:
        """The address, where the URL names one instead of a host."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:  # a name, then
            return None

    @property
    def origin(self) -> str:
        """Scheme, host and port; the port only where it is not the scheme's own."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the header Host has them (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def resource(self) -> str:
        """What is asked for at the host (RFC 9112 section 3.2.1)."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")

    @property
    def shown(self) -> str:
        """The URL for messages: queries may hold what is not ours to tell."""
        return self.origin + self.path


def read_target(url: str) -> Target:
    """Take `url` apart. Raises `OutboundFailed` for anything that two parsers could read in two ways."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or any(char in url for char in ' \\"<>^`{|}#'):
        raise _invalid("has characters that no plain URL has, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("cannot be read") from None
    if parts.scheme not in _PORTS:
        raise _invalid("does not begin with https://")
    if "@" in parts.netloc:  # credentials in URLs end up in logs; and https://good@evil is how people are misled
        raise _invalid("must not hold a user name or password")
    if port == 0 or parts.netloc.endswith(":"):
        raise _invalid("has no usable port")
    host = parts.hostname or ""
    if not _is_host(host, bracketed=parts.netloc.startswith("[")):
        raise _invalid("does not name a host in the plain form of a name or an address")
    return Target(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], path=parts.path, query=parts.query)


def _is_host(host: str, *, bracketed: bool) -> bool:
    """A name, or an address in its one plain form.

    C libraries read 2852039166, 0xa9fea9fe and 169.254.43518 as 169.254.169.254; a name never ends in a number (WHATWG
    URL, "ends in a number").
    """
    if bracketed:
        return "%" not in host and _is_address(host, ipaddress.IPv6Address)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _is_address(host, ipaddress.IPv4Address)
    return len(host) <= 253 and _NAME.fullmatch(host) is not None


def _is_address(host: str, kind: type[IPAddress]) -> bool:
    try:
        kind(host)
    except ValueError:  # of the other kind, or a name
        return False
    return True


def _invalid(what: str) -> OutboundFailed:
    return OutboundFailed(FailureReason.URL_INVALID, f"the URL {what}")
