"""The URLs, hosts and addresses that this server may call: a defence against server-side request forgery."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Self
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
    """The destination of a request. `host` is in lower case, and an IPv6 address has no brackets.

    `resource` is the path and the query.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def address(self) -> IPAddress | None:
        """Return the IP address if the host in the URL is an address, else None."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:  # a name, then
            return None

    @property
    def origin(self) -> str:
        """Return scheme, host and port. The scheme's default port is left out."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Return host and port in the form of the Host header (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def resource(self) -> str:
        """Return the request target in origin form: path and query (RFC 9112 section 3.2.1)."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")

    @property
    def shown(self) -> str:
        """Return the URL without its query, for messages: a query may contain a secret."""
        return self.origin + self.path


def read_target(url: str) -> Target:
    """Parse `url`. Raises `OutboundFailed` if two URL parsers could read the URL in different ways."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or any(char in url for char in ' \\"<>^`{|}#'):
        raise _invalid("has characters that are not allowed in a URL, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("cannot be read") from None
    if parts.scheme not in _PORTS:
        raise _invalid("does not begin with https://")
    if "@" in parts.netloc:  # credentials in URLs end up in logs; and https://good@evil is how people are misled
        raise _invalid("must not have a user name or password")
    if port == 0 or parts.netloc.endswith(":"):
        raise _invalid("has no valid port")
    host = parts.hostname or ""
    if not _is_host(host, bracketed=parts.netloc.startswith("[")):
        raise _invalid("does not have a valid host name or address")
    return Target(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], path=parts.path, query=parts.query)


def _is_host(host: str, *, bracketed: bool) -> bool:
    """Whether the host is a name, or an address in its usual form.

    Other forms of an address are refused: C libraries read 2852039166, 0xa9fea9fe and 169.254.43518 as
    169.254.169.254. A name whose last part is a number is refused too (WHATWG URL, "ends in a number").
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


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


_PRIVATE = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"
)  # fmt: skip
# Where cloud platforms answer any process of a machine with its credentials, beside 169.254.0.0/16: Alibaba, Oracle,
# Azure, AWS. Some of these are public addresses to everybody else.
_METADATA = _networks("100.100.100.200/32", "192.0.0.0/24", "168.63.129.16/32", "fd00:ec2::254/128")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291 section 2.4
_RELAYED = _networks("2002::/16", "2001::/32")  # 6to4 and Teredo: an IPv4 address behind a relay of another network
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: how networks without IPv4 reach it


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's exceptions: hosts that may use plain http, private hosts and private networks."""

    http_hosts: frozenset[str] = frozenset()
    private_names: frozenset[str] = frozenset()
    private_networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, *, http_hosts: Iterable[str] = (), private_hosts: Iterable[str] = ()) -> Self:
        """Build the policy from the settings. A private host is a name, an address or a network."""
        named = {text.lower(): _network(text) for text in private_hosts}
        return cls(
            http_hosts=frozenset(host.lower() for host in http_hosts),
            private_names=frozenset(text for text, network in named.items() if network is None),
            private_networks=tuple(network for network in named.values() if network is not None),
        )

    def check_scheme(self, target: Target) -> None:
        """Raise `OutboundFailed` for plain http. This machine and hosts in `http_hosts` may use plain http."""
        if target.scheme == "http" and not _is_this_machine(target) and target.host not in self.http_hosts:
            raise OutboundFailed(
                FailureReason.HTTP_NOT_ALLOWED,
                f"{target.shown} is plain http, where an attacker on the network can read and change messages. Use "
                f"https, or add {target.host} to AUTHSEC_SERVER_OUTBOUND_HTTP_HOSTS if that network is trusted",
            )

    def check_address(self, target: Target, address: IPAddress) -> None:
        """Raise `OutboundFailed` if the policy does not allow `address`, which is an address of the target's host."""
        if not self._permits(target.host, address):
            at = "" if target.address else f" is at {address}, which"
            raise OutboundFailed(
                FailureReason.ADDRESS_NOT_ALLOWED,
                f"{target.host}{at} is not a public address; add it to AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS if "
                "this server may call it",
            )

    def _permits(self, host: str, address: IPAddress) -> bool:
        meant = _effective(address)
        if _is_public(meant) or _within(address, self.private_networks) or _within(meant, self.private_networks):
            return True
        return host in self.private_names and _opens_by_name(meant)


def _is_public(address: IPAddress) -> bool:
    if _within(address, _METADATA) or address.is_multicast or not address.is_global:
        return False
    return address.version == 4 or (address in _GLOBAL_UNICAST and not _within(address, _RELAYED))


def _opens_by_name(address: IPAddress) -> bool:
    return _within(address, _PRIVATE) and not _within(address, _METADATA)


def _effective(address: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv6 address. If there is none, return the address itself.

    For example, ::ffff:169.254.169.254 is 169.254.169.254.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_this_machine(target: Target) -> bool:
    return target.host == "localhost" or (target.address is not None and target.address.is_loopback)


def _within(address: IPAddress, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:  # a name, then
        return None


Resolve = Callable[[str], Sequence[str]]


def system_resolver(host: str) -> list[str]:
    """Return all addresses that this machine finds for `host`, the preferred one first. Raises `OSError`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def addresses_of(target: Target, resolve: Resolve, seconds: float) -> list[IPAddress]:
    """Look up the addresses of the target's host once, for the check and for the connection. Raises `OutboundFailed`.

    The attack: a second look-up may return another address than the address that was checked (DNS rebinding).
    """
    if target.address is not None:
        return [target.address]
    try:
        found = [ipaddress.ip_address(text) for text in _within_time(seconds, lambda: resolve(target.host))]
    except TimeoutError:
        raise OutboundFailed(FailureReason.TIMEOUT, f"looking up the host name {target.host} took too long") from None
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise OutboundFailed(FailureReason.UNRESOLVABLE, f"the host name {target.host} cannot be resolved")
    return found


def _within_time(seconds: float, work: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Run `work` in a thread and return its result. Raises `TimeoutError` after `seconds`.

    After a timeout, the thread continues in the background, because nothing can interrupt a name look-up.
    """
    result: Future[Sequence[str]] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting caller gets it
            result.set_exception(error)

    Thread(target=run, name="authsec-resolver", daemon=True).start()
    return result.result(timeout=seconds)
