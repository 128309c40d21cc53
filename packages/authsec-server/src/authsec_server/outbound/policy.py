"""Which hosts and addresses this server may speak to. Pure.

By default only those that anybody on the internet could reach as well. The operator names others: a host name opens the
private network and this machine; link-local addresses, where clouds hand out credentials, only a network does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.target import IPAddress, Target

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
_RELAYED = _networks("2002::/16", "2001::/32")  # 6to4 and Teredo: an IPv4 address behind a relay of somebody's
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: how networks without IPv4 reach it


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator has named: hosts to speak plain http to, private hosts and networks."""

    http_hosts: frozenset[str] = frozenset()
    private_names: frozenset[str] = frozenset()
    private_networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, *, http_hosts: Iterable[str] = (), private_hosts: Iterable[str] = ()) -> Self:
        """From the settings; a private host is a name, an address or a network."""
        named = {text.lower(): _network(text) for text in private_hosts}
        return cls(
            http_hosts=frozenset(host.lower() for host in http_hosts),
            private_names=frozenset(text for text, network in named.items() if network is None),
            private_networks=tuple(network for network in named.values() if network is not None),
        )

    def check_scheme(self, target: Target) -> None:
        """Raise `OutboundFailed` for plain http, but to this machine or to a host that is named."""
        if target.scheme == "http" and not _is_this_machine(target) and target.host not in self.http_hosts:
            raise OutboundFailed(
                FailureReason.HTTP_NOT_ALLOWED,
                f"{target.shown} is plain http, over which anybody on the way can read and exchange what is said. Use "
                f"https, or add {target.host} to AUTHSEC_SERVER_OUTBOUND_HTTP_HOSTS if that network is trusted",
            )

    def check_address(self, target: Target, address: IPAddress) -> None:
        """Raise `OutboundFailed` unless `address`, which the host of `target` has, may be connected to."""
        if not self._permits(target.host, address):
            at = "" if target.address else f" is at {address}, which"
            raise OutboundFailed(
                FailureReason.ADDRESS_NOT_ALLOWED,
                f"{target.host}{at} is no public address; AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS names the others that "
                "this server may ask",
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
    """The IPv4 address that an IPv6 one only wraps (::ffff:169.254.169.254 is 169.254.169.254), else itself."""
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
