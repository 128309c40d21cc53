"""`Outbound`: sends requests to other servers for all packages of this server."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from authsec import strict_json

from authsec_server.failures import StartupRefused
from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.ssrf import Policy, Resolve, read_target, system_resolver
from authsec_server.outbound.transport import Answer, Deadline, NotConnected, OutboundRequest, connections, exchange
from authsec_server.settings import ENV_PREFIX, Settings

_ALWAYS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "authsec-server"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLimits:
    """The limits of one request: total time in seconds, including the name look-up, and size of the response."""

    seconds: float = 10.0
    max_bytes: int = 256 * 1024


DEFAULT_LIMITS = OutboundLimits()


class Outbound:
    """Sends GET and POST requests to hosts that the policy allows. Safe for use from any thread; every call blocks.

    Every method raises `OutboundFailed` if there is no response or if the response is a redirect. The caller
    interprets every other status. `trust` replaces the trusted certificates, for servers with their own
    certificate authority. Each request opens a new connection, so no connection is used for a host whose
    address has changed.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        trust: ssl.SSLContext,
        monotonic: Callable[[], float],
        resolve: Resolve = system_resolver,
    ) -> None:
        self._policy = policy
        self._trust = trust
        self._monotonic = monotonic
        self._resolve = resolve

    def check_url(self, url: str) -> None:
        """Raise `OutboundFailed` if the form or the scheme of `url` is not allowed.

        The address of the host is checked only when a request is sent.
        """
        self._policy.check_scheme(read_target(url))

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: OutboundLimits = DEFAULT_LIMITS,
        trust: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send a GET request to `url`."""
        return self._send("GET", url, headers or {}, None, limits, trust)

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send `fields` in a POST request as a form."""
        typed = {"Content-Type": "application/x-www-form-urlencoded"} | dict(headers or {})
        return self._send("POST", url, typed, urlencode(fields).encode(), DEFAULT_LIMITS, None)

    def post_json(
        self,
        url: str,
        value: Any,
        *,
        headers: Mapping[str, str] | None = None,
        limits: OutboundLimits = DEFAULT_LIMITS,
        trust: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send `value` in a POST request as JSON."""
        typed = {"Content-Type": "application/json"} | dict(headers or {})
        return self._send("POST", url, typed, strict_json.dumps(value), limits, trust)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: OutboundLimits,
        trust: ssl.SSLContext | None,
    ) -> Answer:
        target = read_target(url)
        self._policy.check_scheme(target)
        _check_headers(headers)
        deadline = Deadline(limits.seconds, self._monotonic, target)
        asked = OutboundRequest(
            method=method,
            target=target,
            headers=_ALWAYS | {"Host": target.authority} | dict(headers),
            body=body,
            max_bytes=limits.max_bytes,
        )
        untried = connections(target, self._policy, self._resolve, trust or self._trust, deadline)
        while True:
            share = deadline.left() / len(untried)  # an address that never answers must leave time for the next one
            try:
                return exchange(untried.pop(0), asked, deadline, connect_seconds=share)
            except NotConnected as error:
                if not untried:
                    raise error.failure from None


def outbound_of(settings: Settings, monotonic: Callable[[], float]) -> Outbound:
    """Build the `Outbound` from the settings. Raises `StartupRefused`."""
    policy = Policy.of(http_hosts=settings.outbound_http_hosts, private_hosts=settings.outbound_private_hosts)
    return Outbound(policy, trust=_trust(settings.outbound_ca_file), monotonic=monotonic)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Load the system's trust store, and add the certificates of `ca_file`. Raises `StartupRefused`."""
    if ca_file is None:
        return _system_trust()
    trust = ssl.create_default_context()
    try:
        trust.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError):
        raise StartupRefused(
            f"{ENV_PREFIX}OUTBOUND_CA_FILE names {ca_file}, which is not a readable file of PEM certificates.",
            "Name a file of certificates that begin with -----BEGIN CERTIFICATE-----.",
        ) from None
    return trust


@cache
def _system_trust() -> ssl.SSLContext:
    """Load the system's trust store, once for each process.

    Loading the trust store takes a quarter of the time that a server needs to start.
    """
    return ssl.create_default_context()


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):  # the library would quote it, and it may be a credential
            raise OutboundFailed(
                FailureReason.REQUEST_INVALID, f"the header {name} has characters that are not allowed"
            )
