"""Send one request over one connection and read the response. One timeout limits all steps together."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from authsec import strict_json
from authsec.errors import ConfigError
from authsec.safe_text import plain
from authsec.tls_and_proxy import proxy_for
from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import make_headers, parse_url
from urllib3.util.ssltransport import SSLTransport

from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.ssrf import IPAddress, Policy, Resolve, Target, addresses_of, read_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response with any status except a redirect. The repr leaves out headers and body, which may contain a token.

    `source` is the requested URL for messages; `headers` have names in lower case.
    """

    source: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json_object(self, *, max_depth: int = 8) -> Mapping[str, Any]:
        """Parse the body as one JSON object, by strict rules. Raises `OutboundFailed`."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            raise self._not_json(f"is not served as JSON (status {self.status})")
        try:
            value = strict_json.loads(self.body, max_bytes=len(self.body), max_depth=max_depth)
        except strict_json.StrictJsonError as error:
            raise self._not_json(f"is not strict JSON: {error}") from None
        if not isinstance(value, dict):
            raise self._not_json("is not a JSON object")
        return value

    def _not_json(self, what: str) -> OutboundFailed:
        return OutboundFailed(FailureReason.NOT_JSON, f"the answer of {self.source} {what}")


def connections(
    target: Target, policy: Policy, resolve: Resolve, trust: ssl.SSLContext, deadline: Deadline
) -> list[HTTPConnection]:
    """Build the connections in the order in which to try them. The connections are not open yet.

    Raises `OutboundFailed` if the policy forbids one of the addresses.
    """
    proxy = _proxy(target)
    if proxy is not None:
        # The proxy looks up names itself, and its operator limits the targets. Addresses are checked as always.
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


PIECE = 16_384


class NotConnected(Exception):
    """No connection was made and nothing was sent. The caller may try another address of the same host."""

    def __init__(self, failure: OutboundFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Deadline:
    """The time, on a monotonic clock, by which the request and its response must end."""

    def __init__(self, seconds: float, monotonic: Callable[[], float], target: Target) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self._message = f"{target.shown} did not finish within {seconds:g} seconds"

    def left(self) -> float:
        """Return the seconds that remain. Raises `OutboundFailed` after the deadline."""
        left = self._end - self._monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> OutboundFailed:
        """Return the failure for a missed deadline."""
        return OutboundFailed(FailureReason.TIMEOUT, self._message)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """A request. The repr leaves out headers and body, which may contain credentials."""

    method: str
    target: Target
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    max_bytes: int


def exchange(connection: HTTPConnection, asked: OutboundRequest, deadline: Deadline, connect_seconds: float) -> Answer:
    """Connect, send the request and read the response. Raises `NotConnected` or `OutboundFailed`."""
    with closing(connection), _Watch(connection, deadline.left()) as watch:
        try:
            _connect(connection, asked.target, connect_seconds)
            watch.hold()
            connection.timeout = deadline.left()
            answer = _ask(connection, asked)
        except (NotConnected, urllib3.HTTPError, HTTPException, OSError) as error:
            if watch.expired:
                raise deadline.passed() from None
            if isinstance(error, NotConnected):
                raise
            raise _failure(error, asked.target) from None
        if watch.expired:  # an answer that ends with its connection would look complete
            raise deadline.passed()
        return answer


class _Watch:
    """Closes the connection after the given number of seconds.

    The attack: a server sends one byte of its response every few seconds. The timeout of a socket restarts with
    every byte, so the server could block the thread for hours.
    """

    def __init__(self, connection: HTTPConnection, seconds: float) -> None:
        self.expired = False
        self._connection = connection
        self._held: socket.socket | SSLTransport | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def hold(self) -> None:
        """Save the socket, so that the socket can still be closed when the connection no longer has a reference to it.

        The connection drops the socket before the end of the response is read. Raises `TimeoutError` if the time
        ended during the handshake, when there was no socket to close.
        """
        self._held = self._connection.sock
        if self.expired:  # during the handshake, when there was no socket to break off
            raise TimeoutError

    def _end(self) -> None:
        self.expired = True
        sock = self._held or self._connection.sock
        raw = sock.socket if isinstance(sock, SSLTransport) else sock
        if raw is not None:
            with suppress(OSError):  # closed by now, or in the hands of the handshake, which has the same limit
                socket.socket.shutdown(raw, socket.SHUT_RDWR)


def _connect(connection: HTTPConnection, target: Target, seconds: float) -> None:
    connection.timeout = seconds
    try:
        connection.connect()
    except (ssl.SSLError, TimeoutError):
        raise
    except (urllib3.HTTPError, HTTPException, OSError) as error:
        raise NotConnected(_not_connected(error, target, proxied=connection.proxy is not None)) from None


def _ask(connection: HTTPConnection, asked: OutboundRequest) -> Answer:
    connection.request(
        asked.method, asked.target.resource, asked.body, asked.headers, preload_content=False, decode_content=False
    )
    with closing(connection.getresponse()) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        _check_head(asked.target, response.status, headers)
        body = _read(response, asked)
        return Answer(source=asked.target.shown, status=response.status, headers=headers, body=body)


def _check_head(target: Target, status: int, headers: Mapping[str, str]) -> None:
    if 300 <= status < 400:  # the configuration chooses the server, not a response
        where = _shown(headers.get("location", ""))
        raise OutboundFailed(
            FailureReason.REDIRECT, f"{target.shown} redirected to {where}, and redirects are not followed"
        )
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise OutboundFailed(  # a few kilobytes of gzip unpack to gigabytes; and we asked for none
            FailureReason.COMPRESSED, f"{target.shown} sent a compressed answer, although it was asked not to"
        )


def _shown(location: str) -> str:
    try:
        return read_target(location).shown
    except OutboundFailed:
        return plain(location.partition("?")[0], 100) or "nowhere"


def _read(response: BaseHTTPResponse, asked: OutboundRequest) -> bytes:
    body = bytearray()
    while piece := response.read1(PIECE):
        body += piece
        if len(body) > asked.max_bytes:
            raise OutboundFailed(
                FailureReason.TOO_LARGE, f"the answer of {asked.target.shown} is larger than {asked.max_bytes} bytes"
            )
    return bytes(body)


def _not_connected(error: Exception, target: Target, *, proxied: bool) -> OutboundFailed:
    if isinstance(error, urllib3.ConnectTimeoutError) and not isinstance(error, urllib3.NewConnectionError):
        return OutboundFailed(FailureReason.TIMEOUT, f"the connection to {target.origin} timed out")
    if proxied:
        return OutboundFailed(
            FailureReason.PROXY_FAILED,
            f"the proxy of HTTPS_PROXY did not connect to {target.origin} (list hosts that need no proxy in NO_PROXY)",
        )
    return OutboundFailed(FailureReason.UNREACHABLE, f"nothing accepts connections at {target.origin}")


def _failure(error: Exception, target: Target) -> OutboundFailed:
    """Return the failure for this error, with a text that helps an operator.

    The library's own messages contain addresses of Python objects and whole URLs.
    """
    match error:
        case ssl.SSLCertVerificationError():
            return OutboundFailed(
                FailureReason.CERTIFICATE_UNTRUSTED,
                f"the certificate of {target.origin} is not trusted ({plain(error.verify_message, 120)}); "
                "set AUTHSEC_SERVER_OUTBOUND_CA_FILE to the certificates of a private authority",
            )
        case TimeoutError() | urllib3.TimeoutError():
            return OutboundFailed(FailureReason.TIMEOUT, f"{target.origin} did not answer in time")
        case ssl.SSLError():
            return OutboundFailed(
                FailureReason.TLS_FAILED,
                f"no TLS connection to {target.origin} could be made; check that it serves https",
            )
    return OutboundFailed(
        FailureReason.CONNECTION_LOST, f"the connection to {target.origin} broke before the answer was complete"
    )
