"""Send one HTTP request without redirects, with limits on time and size. Choose the trust store and the proxy.

No connection stays open. An agent sends only about one request an hour. Without open connections, a fork or a
copy cannot share one by mistake. The caller interprets the response.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout, make_headers

from authsec.clock import Clock
from authsec.config import is_loopback
from authsec.errors import ConfigError

USER_AGENT = "authsec-python/0.1.0"
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The response of a server. `body` may contain a token, so no repr shows it."""

    status: int
    content_type: str
    date: str | None
    retry_after: str | None
    location: str | None
    # the header AuthSec-Audience: the API that the authority has identified
    audience: str | None = None
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, content_type={self.content_type!r}, {len(self.body)} bytes)"


class AnswerTooLarge(Exception):
    """The response is larger than `MOST_BYTES`; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"an answer of more than {MOST_BYTES} bytes")
        self.status = status


def get(url: str, *, authorization: str | None, trust: ssl.SSLContext | None, deadline: float, clock: Clock) -> Answer:
    """Send a GET request to `url` before `deadline`, a time on the monotonic clock. Only https needs `trust`.

    Raises an `HTTPError` of urllib3 (after the deadline, a `TimeoutError`), `AnswerTooLarge`, or `ConfigError`
    for an invalid proxy.
    """
    headers = {} if authorization is None else {"Authorization": authorization}
    with open_pool(url, trust) as pool:
        return _exchange(pool, "GET", url, headers, None, deadline, clock)


def post(url: str, *, json: bytes, trust: ssl.SSLContext | None, deadline: float, clock: Clock) -> Answer:
    """Send a JSON document to `url` by POST, with the limits and errors of `get`. There is no retry."""
    with open_pool(url, trust) as pool:
        return _exchange(pool, "POST", url, {"Content-Type": "application/json"}, json, deadline, clock)


def post_form(
    url: str,
    *,
    form: Mapping[str, str],
    authorization: str | None,
    trust: ssl.SSLContext | None,
    deadline: float,
    clock: Clock,
) -> Answer:
    """Send a form to `url` by POST, with the limits and errors of `get`. OAuth endpoints accept only forms."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    with open_pool(url, trust) as pool:
        return _exchange(pool, "POST", url, headers, urlencode(form).encode(), deadline, clock)


def http_date(header: str | None) -> datetime | None:
    """Parse a Date header (RFC 9110 §6.6.1); return None if the header is missing or invalid."""
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:  # an invalid date
        return None


def trust_store(ca_file: str | None) -> ssl.SSLContext:
    """Return the system's trust store, or a trust store with the certificates in the PEM file `ca_file`.

    The checks of certificates, host names and protocol versions are the defaults of `ssl.create_default_context`.
    Raises `ConfigError` for an unreadable file.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise ConfigError(
            f"AUTHSEC_CA_FILE (ca_file) names {ca_file}, which is not a readable file of PEM certificates.",
            reason="ca_file_invalid",
        ) from None


def open_pool(url: str, trust: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Open a connection pool for one request to the host of `url`. Only https needs `trust`."""
    proxy = proxy_for(urlsplit(url))
    if proxy is None:
        return urllib3.PoolManager(num_pools=1, ssl_context=trust)
    userinfo, _, address = proxy.netloc.rpartition("@")
    return urllib3.ProxyManager(
        proxy._replace(netloc=address).geturl(),
        num_pools=1,
        proxy_headers=make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else None,
        proxy_ssl_context=trust,
        ssl_context=trust,
    )


def proxy_for(target: SplitResult) -> SplitResult | None:
    """Return the proxy in `HTTPS_PROXY`, or None for a direct connection. Raises `ConfigError` for an invalid proxy.

    The connection is direct without `HTTPS_PROXY`, for a host in `NO_PROXY`, and for loopback. Plain http is
    always direct, because a proxy would read the token.
    """
    host = str(target.hostname)
    if target.scheme != "https" or is_loopback(host) or proxy_bypass(target.netloc):
        return None
    proxy = getproxies_environment().get("https")
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            "HTTPS_PROXY must be the address of an HTTP proxy, as in http://proxy.example.com:3128.",
            reason="proxy_invalid",
        )
    return parts


def _exchange(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: float,
    clock: Clock,
) -> Answer:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise exceptions.TimeoutError
    ours = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
    response = pool.request(
        method, url, headers={**ours, **headers}, body=body, retries=False, redirect=False, preload_content=False,
        decode_content=False, timeout=Timeout(total=left),
    )  # fmt: skip
    try:
        return Answer(
            status=response.status,
            content_type=response.headers.get("Content-Type", ""),
            date=response.headers.get("Date"),
            retry_after=response.headers.get("Retry-After"),
            location=response.headers.get("Location"),
            audience=response.headers.get("AuthSec-Audience"),
            body=_read(response, deadline, clock),
        )
    finally:
        response.close()


def _read(response: urllib3.BaseHTTPResponse, deadline: float, clock: Clock) -> bytes:
    """Read the body in small steps, and check the deadline after each step.

    The socket's own timeout starts again with every byte. Without these checks, a slow server could block the
    caller for hours.
    """
    body = bytearray()
    while piece := response.read1(8192):
        body += piece
        if len(body) > MOST_BYTES:
            raise AnswerTooLarge(response.status)
        if clock.monotonic() >= deadline:
            raise exceptions.TimeoutError
    return bytes(body)
