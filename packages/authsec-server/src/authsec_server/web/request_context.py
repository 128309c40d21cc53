"""What is known of a request before any room sees it: its id and the address it came from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

_KEY = "authsec.context"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """`request_id` is ours, never the caller's: it must be unique to find one request in the audit trail."""

    request_id: str
    address: str


def context_of(scope: Scope) -> RequestContext:
    """The context that the middleware put into the scope."""
    context: RequestContext = scope[_KEY]
    return context


def put_context(scope: Scope, context: RequestContext) -> None:
    """Make it known to everything further in."""
    scope[_KEY] = context


def address_of(scope: Scope, trusted_proxies: tuple[str, ...]) -> str:
    """The caller's IP address; forwarded ones count only from proxies that the settings name.

    X-Forwarded-For is read from the right, as far as trusted proxies wrote it: further left anybody may have written.
    """
    peer = scope.get("client")
    address = _canonical(peer[0]) if peer else ""
    networks = [ipaddress.ip_network(network) for network in trusted_proxies]
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _within(address, networks) or not (candidate := _canonical(hop)):
            break
        address = candidate
    return address


def limit_key(address: str) -> str:
    """What limits count by: an IPv4 address, or an IPv6 /64, which is what one subscriber commands."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def _canonical(text: str) -> str:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])  # a zone (RFC 4007) is of any length and means nothing here
    except ValueError:  # no address, such as the path of a socket
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip)


def _within(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return bool(address) and any(ipaddress.ip_address(address) in network for network in networks)
