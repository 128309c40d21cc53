"""The connections by which a target may be reached: one for each of its addresses, or one through the proxy.

A connection is opened to an address that was checked, never to a name that could by then mean another. Host, SNI and
certificate stay the target's.
"""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult, unquote, urlsplit

from authsec.errors import ConfigError
from authsec.pools import proxy_for
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import make_headers, parse_url

from authsec_server.outbound.exchange import Deadline
from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.policy import Policy
from authsec_server.outbound.resolver import Resolve, addresses_of
from authsec_server.outbound.target import IPAddress, Target


def connections(
    target: Target, policy: Policy, resolve: Resolve, trust: ssl.SSLContext, deadline: Deadline
) -> list[HTTPConnection]:
    """Connections not opened yet, in the order to be tried. Raises `OutboundFailed` where the policy forbids one."""
    proxy = _proxy(target)
    if proxy is not None:
        # The proxy looks names up itself, and where it lets us go is its operator's rule. Addresses we judge as always.
        if target.address is not None:
            policy.check_address(target, target.address)
        return [_through(proxy, target, trust)]
    addresses = addresses_of(target, resolve, deadline.left())
    for address in addresses:
        policy.check_address(target, address)
    return [_direct(target, address, trust) for address in addresses]


def _direct(target: Target, address: IPAddress, trust: ssl.SSLContext) -> HTTPConnection:
    if target.scheme == "http":
        return HTTPConnection(str(address), target.port)
    return HTTPSConnection(str(address), target.port, server_hostname=target.host, ssl_context=trust)


def _through(proxy: SplitResult, target: Target, trust: ssl.SSLContext) -> HTTPConnection:
    userinfo, _, address = proxy.netloc.rpartition("@")
    connection = HTTPSConnection(
        str(proxy.hostname),
        proxy.port or (443 if proxy.scheme == "https" else 80),
        proxy=parse_url(proxy._replace(netloc=address).geturl()),
        proxy_config=ProxyConfig(trust, False, None, None),
        server_hostname=target.host,
        ssl_context=trust,
    )
    credentials = make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else None
    connection.set_tunnel(target.host, target.port, credentials, scheme=proxy.scheme)
    return connection


def _proxy(target: Target) -> SplitResult | None:
    try:
        return proxy_for(urlsplit(target.origin))
    except ConfigError as error:
        raise OutboundFailed(FailureReason.PROXY_FAILED, str(error)) from None
