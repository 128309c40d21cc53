"""The way to the authority, one hop at a time: name, connection, certificate. Nothing is asked of anybody yet."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from urllib3.util import make_headers

from authsec.clock import Clock
from authsec.config import AuthSecConfig, is_loopback
from authsec.doctor.certificate import certificate
from authsec.doctor.findings import Finding
from authsec.errors import ConfigError
from authsec.http_client import proxy_for
from authsec.safe_text import plain
from authsec.terminal import Grade, duration

_PATIENCE: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_MOST_ADDRESSES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """To `target`, by way of the proxy if there is one. A proxy's password is in no repr and no text."""

    target: SplitResult
    proxy: SplitResult | None

    @property
    def first(self) -> tuple[str, int]:
        """Whom this machine connects to."""
        return _address(self.proxy or self.target)

    @property
    def by_proxy(self) -> str:
        """In words, empty without one."""
        return "by way of the proxy {}:{} (HTTPS_PROXY)".format(*self.first) if self.proxy else ""

    def connect(self) -> socket.socket:
        """A connection to the target; raises `OSError`."""
        if self.proxy is None:
            return socket.create_connection(self.first, timeout=_PATIENCE)
        userinfo = self.proxy.netloc.rpartition("@")[0]
        tunnel = http.client.HTTPConnection(*self.first, timeout=_PATIENCE)
        headers = make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else {}
        tunnel.set_tunnel(*_address(self.target), headers=dict(headers))
        tunnel.connect()
        return tunnel.sock

    def __repr__(self) -> str:
        return f"Way(first={self.first!r})"


def reached(config: AuthSecConfig, clock: Clock) -> list[Finding]:
    """Each hop, until the first that fails."""
    target = urlsplit(config.base_url)
    try:
        way = Way(target=target, proxy=proxy_for(target))
    except ConfigError as error:
        return [Finding.failed("connection", error, "Correct HTTPS_PROXY, or put the authority's host into NO_PROXY.")]
    steps: Sequence[Callable[[], Finding | None]] = (
        lambda: _name(way, clock),
        lambda: _connection(way, clock),
        lambda: _certificate(way, config, clock),
    )
    findings = []
    for step in steps:
        finding = step()
        if finding is not None:
            findings.append(finding)
            if finding.grade is Grade.BAD:
                break
    return findings


def _name(way: Way, clock: Clock) -> Finding | None:
    host, port = way.first
    try:
        found, took = clock.timed(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        whose = ", the proxy of HTTPS_PROXY" if way.proxy else ""
        return Finding(
            step="name",
            grade=Grade.BAD,
            facts=(f"no address is known here for {host}{whose}",),
            reason="unknown_host",
            remedy=f"Correct the host in {'HTTPS_PROXY' if way.proxy else 'AUTHSEC_BASE_URL'}, or see why this machine "
            "cannot look it up (its DNS, a VPN that is off, a service's name outside of its cluster).",
        )
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if addresses == [host]:
        return None
    more = f" and {len(addresses) - _MOST_ADDRESSES} more" if len(addresses) > _MOST_ADDRESSES else ""
    fact = f"{host} is {', '.join(addresses[:_MOST_ADDRESSES])}{more}, looked up in {duration(took)}"
    return Finding(step="name", facts=(fact,))


def _connection(way: Way, clock: Clock) -> Finding:
    host, port = way.first
    try:
        opened, took = clock.timed(way.connect)
    except OSError as error:
        return _no_connection(way, error)
    opened.close()
    facts = [f"{host}:{port} accepts, in {duration(took)}"]
    if way.proxy:
        facts = [f"{way.target.netloc} is connected in {duration(took)}", way.by_proxy]
    elif os.environ.get("HTTPS_PROXY", os.environ.get("https_proxy")):
        facts.append(f"not by HTTPS_PROXY: {_why_no_proxy(way.target)}")
    return Finding(step="connection", facts=tuple(facts))


def _no_connection(way: Way, error: OSError) -> Finding:
    host, port = way.first
    why = "no answer in time" if isinstance(error, TimeoutError) else plain(error.strerror or str(error), 100)
    facts = [f"{host}:{port}: {why}", *([way.by_proxy] if way.proxy else [])]
    if way.proxy:
        remedy = "See whether the proxy runs and lets this machine through; or put the authority's host into NO_PROXY."
    elif isinstance(error, TimeoutError):
        remedy = "See what is in between: a firewall, a network policy of the cluster, a VPN that is off."
    else:
        remedy = "See whether the authority runs there, and whether AUTHSEC_BASE_URL has its port."
    reason = "proxy_failed" if way.proxy else "unreachable"
    return Finding(step="connection", grade=Grade.BAD, facts=tuple(facts), reason=reason, remedy=remedy)


def _why_no_proxy(target: SplitResult) -> str:
    if target.scheme == "http":
        return "plain http is never sent through one"
    return "this machine itself needs none" if is_loopback(str(target.hostname)) else "NO_PROXY names the host"


def _certificate(way: Way, config: AuthSecConfig, clock: Clock) -> Finding | None:
    """None without TLS; and with a proxy that itself speaks it, where one TLS would have to stand inside another."""
    if way.target.scheme == "http" or (way.proxy and way.proxy.scheme == "https"):
        return None
    now = datetime.fromtimestamp(clock.wall(), UTC)
    return certificate(way.connect, str(way.target.hostname), config, now)


def _address(parts: SplitResult) -> tuple[str, int]:
    return str(parts.hostname), parts.port or _PORTS[parts.scheme]
