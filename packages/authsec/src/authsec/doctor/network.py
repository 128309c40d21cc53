"""Checks of the route to the authority: host name, connection, certificate. No HTTP request is sent."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from urllib3.util import make_headers

from authsec.clock import Clock
from authsec.config import AuthSecConfig, export_line, is_loopback
from authsec.doctor.report import Finding
from authsec.errors import ConfigError
from authsec.safe_text import plain
from authsec.terminal import Grade, duration
from authsec.tls_and_proxy import proxy_for, trust_store

_PATIENCE: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_MOST_ADDRESSES: Final = 4

_SOON: Final = timedelta(days=14)
_IGNORE_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_… of OpenSSL
_OTHER_NAME: Final = {62, 64}
_UNKNOWN_SIGNER: Final = {18, 19, 20, 21}
Connect = Callable[[], socket.socket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The route to the URL `target`, through `proxy` if it is set. The repr and all texts omit the proxy's password."""

    target: SplitResult
    proxy: SplitResult | None

    @property
    def first(self) -> tuple[str, int]:
        """The host and port of the first connection: those of the proxy, or without a proxy those of the target."""
        return _address(self.proxy or self.target)

    @property
    def by_proxy(self) -> str:
        """A phrase for the report that names the proxy; an empty string without a proxy."""
        return "through the proxy {}:{} (HTTPS_PROXY)".format(*self.first) if self.proxy else ""

    def connect(self) -> socket.socket:
        """Connect to the target, through the proxy if there is one. Raises `OSError`."""
        if self.proxy is None:
            return socket.create_connection(self.first, timeout=_PATIENCE)
        userinfo = self.proxy.netloc.rpartition("@")[0]
        tunnel = http.client.HTTPConnection(*self.first, timeout=_PATIENCE)
        headers = make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else {}
        tunnel.set_tunnel(*_address(self.target), headers=dict(headers))
        tunnel.connect()
        return tunnel.sock

    def __repr__(self) -> str:
        return f"Route(first={self.first!r})"


def check_network(config: AuthSecConfig, clock: Clock) -> list[Finding]:
    """Check the host name, the connection and the certificate, in this order. Stop after the first failure."""
    target = urlsplit(config.base_url)
    try:
        route = Route(target=target, proxy=proxy_for(target))
    except ConfigError as error:
        return [Finding.failed("connection", error, "Correct HTTPS_PROXY, or add the authority's host to NO_PROXY.")]
    steps: Sequence[Callable[[], Finding | None]] = (
        lambda: _name(route, clock),
        lambda: _connection(route, clock),
        lambda: _certificate(route, config, clock),
    )
    findings = []
    for step in steps:
        finding = step()
        if finding is not None:
            findings.append(finding)
            if finding.grade is Grade.BAD:
                break
    return findings


def _name(route: Route, clock: Clock) -> Finding | None:
    host, port = route.first
    try:
        found, took = clock.timed(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        whose = ", the proxy of HTTPS_PROXY" if route.proxy else ""
        return Finding(
            step="name",
            grade=Grade.BAD,
            facts=(f"no address was found for {host}{whose}",),
            reason="unknown_host",
            remedy=(
                f"Correct the host in {'HTTPS_PROXY' if route.proxy else 'AUTHSEC_BASE_URL'}, or check why this "
                "machine cannot resolve the host (DNS, a VPN that is off, a service's name outside of its "
                "cluster)."
            ),
        )
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if addresses == [host]:
        return None
    more = f" and {len(addresses) - _MOST_ADDRESSES} more" if len(addresses) > _MOST_ADDRESSES else ""
    fact = f"{host} is {', '.join(addresses[:_MOST_ADDRESSES])}{more}, looked up in {duration(took)}"
    return Finding(step="name", facts=(fact,))


def _connection(route: Route, clock: Clock) -> Finding:
    host, port = route.first
    try:
        opened, took = clock.timed(route.connect)
    except OSError as error:
        return _no_connection(route, error)
    opened.close()
    facts = [f"{host}:{port} accepted the connection in {duration(took)}"]
    if route.proxy:
        facts = [f"{route.target.netloc} was connected in {duration(took)}", route.by_proxy]
    elif os.environ.get("HTTPS_PROXY", os.environ.get("https_proxy")):
        facts.append(f"HTTPS_PROXY is not used: {_why_no_proxy(route.target)}")
    return Finding(step="connection", facts=tuple(facts))


def _no_connection(route: Route, error: OSError) -> Finding:
    host, port = route.first
    why = "no answer in time" if isinstance(error, TimeoutError) else plain(error.strerror or str(error), 100)
    facts = [f"{host}:{port}: {why}", *([route.by_proxy] if route.proxy else [])]
    if route.proxy:
        remedy = "Check that the proxy runs and accepts this machine, or add the authority's host to NO_PROXY."
    elif isinstance(error, TimeoutError):
        remedy = (
            "Check the network between this machine and the authority: a firewall, a network policy of the "
            "cluster, a VPN that is off."
        )
    else:
        remedy = f"Check that the authority runs at {host}:{port}, and that AUTHSEC_BASE_URL has the correct port."
    reason = "proxy_failed" if route.proxy else "unreachable"
    return Finding(step="connection", grade=Grade.BAD, facts=tuple(facts), reason=reason, remedy=remedy)


def _why_no_proxy(target: SplitResult) -> str:
    if target.scheme == "http":
        return "plain http is never sent through a proxy"
    return (
        "an address on this machine needs no proxy" if is_loopback(str(target.hostname)) else "NO_PROXY names the host"
    )


def _certificate(route: Route, config: AuthSecConfig, clock: Clock) -> Finding | None:
    """Check the authority's certificate. Return None if the check is not possible.

    The check is not possible for plain http. It is not possible with an HTTPS proxy either, because it would need
    TLS inside TLS.
    """
    if route.target.scheme == "http" or (route.proxy and route.proxy.scheme == "https"):
        return None
    now = datetime.fromtimestamp(clock.wall(), UTC)
    return check_certificate(route.connect, str(route.target.hostname), config, now)


def _address(parts: SplitResult) -> tuple[str, int]:
    return str(parts.hostname), parts.port or _PORTS[parts.scheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certificate:
    names: tuple[str, ...]
    signer: str
    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, read: Mapping[str, Any]) -> _Certificate:
        """Read a certificate from the mapping that `SSLSocket.getpeercert` returns."""
        signer = {name: value for part in read.get("issuer", ()) for name, value in part}
        named = [str(value) for _, value in read.get("subjectAltName", ())]
        return cls(
            names=tuple(plain(name, 80) for name in named),
            signer=plain(signer.get("commonName") or signer.get("organizationName") or "nobody named", 80),
            begins=datetime.fromtimestamp(ssl.cert_time_to_seconds(read["notBefore"]), UTC),
            ends=datetime.fromtimestamp(ssl.cert_time_to_seconds(read["notAfter"]), UTC),
        )

    def lines(self) -> tuple[str, ...]:
        names = ", ".join(self.names[:5]) + (f" and {len(self.names) - 5} more" if len(self.names) > 5 else "")
        return (f"for {names or 'no name'}, signed by {self.signer}", f"valid {_day(self.begins)} to {_day(self.ends)}")


def check_certificate(connect: Connect, host: str, config: AuthSecConfig, now: datetime) -> Finding:
    """Verify the certificate of the server behind `connect`, with the same trust store and checks as the SDK."""
    try:
        trust = trust_store(config.ca_file)
    except ConfigError as error:
        return Finding.failed(
            "certificate", error, "Correct AUTHSEC_CA_FILE, or unset it to use the system's trust store."
        )
    store = _store(config.ca_file)
    try:
        with connect() as plain_socket, trust.wrap_socket(plain_socket, server_hostname=host) as secured:
            shown, version = _Certificate.of(secured.getpeercert() or {}), secured.version()
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, _presented(connect), host, config, now)
    except (OSError, ValueError) as error:
        return _no_tls(error)
    facts = (*shown.lines(), f"trusted by {store}, over {version}")
    if shown.ends - now > _SOON:
        return Finding(step="certificate", facts=facts)
    return Finding(
        step="certificate",
        grade=Grade.AMBER,
        facts=(*facts, f"the certificate expires in {(shown.ends - now).days} days"),
        reason="certificate_ends_soon",
        remedy="Ask the operator of the authority to renew its certificate.",
    )


def _untrusted(
    error: ssl.SSLCertVerificationError, shown: _Certificate | None, host: str, config: AuthSecConfig, now: datetime
) -> Finding:
    code = error.verify_code
    facts = [f"not trusted: {plain(error.verify_message, 120)}", *(shown.lines() if shown else ())]
    remedy = "Ask the operator of the authority to correct its certificate."
    if code in {_EXPIRED, _NOT_YET}:
        facts.append(f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC")
        remedy = "If this machine's clock is correct, ask the operator of the authority to renew its certificate."
    elif code in _OTHER_NAME:
        remedy = f"Use a name from the certificate in AUTHSEC_BASE_URL; {host} is not in it."
    elif code in _UNKNOWN_SIGNER:
        facts.append(f"no certificate of its signer in {_store(config.ca_file)}")
        remedy = (
            "Set AUTHSEC_CA_FILE to the PEM file of the certificate authority that signed the certificate, or "
            "let the server send the intermediate certificates.\n    "
            f"{export_line('AUTHSEC_CA_FILE', '/path/to/ca.pem')}"
        )
    return Finding(
        step="certificate",
        grade=Grade.BAD,
        facts=tuple(facts),
        reason="certificate_untrusted",
        remedy=remedy,
    )


def _no_tls(error: OSError | ValueError) -> Finding:
    slow = isinstance(error, TimeoutError)
    why = "no answer in time" if slow else plain(getattr(error, "reason", None) or type(error).__name__, 80)
    return Finding(
        step="certificate",
        grade=Grade.BAD,
        facts=(f"no TLS connection could be made: {why}",),
        reason="tls_failed",
        remedy="Check that this port serves https, and that AUTHSEC_BASE_URL has the correct scheme and port.",
    )


def _presented(connect: Connect) -> _Certificate | None:
    """Fetch the untrusted certificate, to describe it in the report. No data is sent to the server.

    Python parses a certificate only after it has verified the certificate. So this function first fetches the
    certificate. Then it connects again and trusts only this certificate. The result is None if that fails, for
    example if the server shows another certificate each time.
    """
    try:
        with connect() as plain_socket, _unverifying().wrap_socket(plain_socket) as secured:
            der = secured.getpeercert(binary_form=True) or b""
        with connect() as plain_socket, _trusting_only(der).wrap_socket(plain_socket) as secured:
            return _Certificate.of(secured.getpeercert() or {})
    except (OSError, ValueError, KeyError):  # An unreadable certificate is not described.
        return None


def _unverifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting_only(der: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_IGNORE_TIME)
    context.load_verify_locations(cadata=der)
    return context


def _store(ca_file: str | None) -> str:
    """Return the name of the trust store, with a note if the store is empty.

    Slim container images have no certificates.
    """
    if ca_file:
        return f"the file of AUTHSEC_CA_FILE ({plain(ca_file, 200)})"
    paths = ssl.get_default_verify_paths()
    found = [each for each in (paths.cafile, paths.capath) if each and os.path.exists(each)]
    return f"the system's trust store ({', '.join(found)})" if found else "the system's trust store, WHICH IS EMPTY"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
