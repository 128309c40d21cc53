"""The context of a request: its id and the client's address. Middleware stores the context before a handler runs."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from authsec_server.ordered_ids import ordered_octets

_KEY = "authsec.context"
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"  # base32hex (RFC 4648 section 7), in lower case
_PAIRS: Final = tuple(first + second for first in _DIGITS for second in _DIGITS)
_SHIFTS: Final = range(110, -1, -10)  # two digits have ten bits, and an id has 15 octets


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The id of the request, the address of the client, and when the request began (`time.perf_counter`).

    The server always creates `request_id` itself. An id from the caller might not be unique in the audit log.
    """

    request_id: str
    address: str
    began: float = field(default_factory=time.perf_counter)


def new_context(
    scope: Scope, now: datetime, token_bytes: Callable[[int], bytes], trusted_proxies: tuple[str, ...]
) -> RequestContext:
    """Return the context of a request that has just arrived."""
    number = int.from_bytes(ordered_octets(15, now, token_bytes))
    digits = [_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS]  # `b32hexencode` takes twice the time
    return RequestContext(request_id=f"req_{''.join(digits)}", address=address_of(scope, trusted_proxies))


def has_context(scope: Scope) -> bool:
    """Whether `put_context` was called for this request."""
    return _KEY in scope


def context_of(scope: Scope) -> RequestContext:
    """Return the context that the middleware stored in the scope."""
    context: RequestContext = scope[_KEY]
    return context


def put_context(scope: Scope, context: RequestContext) -> None:
    """Store the context in the scope, for the other middleware and the handlers."""
    scope[_KEY] = context


def address_of(scope: Scope, trusted_proxies: tuple[str, ...]) -> str:
    """Return the IP address of the caller, or an empty text if the address is unknown.

    X-Forwarded-For is trusted only from the proxies in `trusted_proxies`. Each proxy appends the address of its
    own client on the right. Thus the function reads the header from the right, and stops at the first address
    that is not a trusted proxy. Anybody may have written the entries further left.
    """
    peer = scope.get("client")
    address = _canonical(peer[0]) if peer else ""
    networks = _networks(trusted_proxies)
    if not _within(address, networks):
        return address
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _within(address, networks) or not (candidate := _canonical(hop)):
            break
        address = candidate
    return address


@lru_cache(maxsize=4096)
def limit_key(address: str) -> str:
    """Return the key of this address for rate limits: the IPv4 address, or the /64 network of an IPv6 address.

    One subscriber has all addresses of an IPv6 /64.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])  # without the zone (RFC 4007), which can be any text
    except ValueError:  # not an IP address, for example the path of a socket
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip)


@lru_cache(maxsize=16)
def _networks(named: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, named))


def _within(address: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return bool(address) and any(ipaddress.ip_address(address) in network for network in networks)
