"""The context of every request before a room handles it: the request's id and the client's address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

_KEY = "authsec.context"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The request's id and the client's address.

    The server creates `request_id` and never accepts one from the caller: the id must be unique in the audit log.
    """

    request_id: str
    address: str


def context_of(scope: Scope) -> RequestContext:
    """Return the context that the middleware stored in the scope."""
    context: RequestContext = scope[_KEY]
    return context


def put_context(scope: Scope, context: RequestContext) -> None:
    """Store the context in the scope, for all inner code."""
    scope[_KEY] = context


def address_of(scope: Scope, trusted_proxies: tuple[str, ...]) -> str:
    """Return the caller's IP address. Trusts X-Forwarded-For only from the proxies in the settings.

    The function reads X-Forwarded-For from the right, as far as trusted proxies wrote the header. Anybody may
    have written the entries further left.
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
    """Return the key for rate limits: the IPv4 address, or the IPv6 /64, because one subscriber has a whole /64."""
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
