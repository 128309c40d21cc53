"""Send one HTTP request without redirects, with limits on time and size.

No connection stays open. An agent sends only about one request an hour. Without open connections, a fork or a
copy cannot share one by mistake. The caller interprets the response.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlencode, urlsplit

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout, make_headers

from authsec.clock import Clock
from authsec.http_answer import MOST_BYTES, Answer, AnswerTooLarge
from authsec.tls_and_proxy import proxy_for

USER_AGENT = "authsec-python/0.1.0"
_NO_TRACE: Final[Mapping[str, str]] = {}


def get(
    url: str,
    *,
    authorization: str | None,
    trust: ssl.SSLContext | None,
    deadline: float,
    clock: Clock,
    trace: Mapping[str, str] = _NO_TRACE,
) -> Answer:
    """Send a GET request to `url` before `deadline`, a time on the monotonic clock. Only https needs `trust`.

    `trace` are the headers that continue a trace.

    Raises an `HTTPError` of urllib3 (after the deadline, a `TimeoutError`), `AnswerTooLarge`, or `ConfigError`
    for an invalid proxy.
    """
    headers = {**trace} if authorization is None else {"Authorization": authorization, **trace}
    with open_pool(url, trust) as pool:
        return _exchange(pool, "GET", url, headers, None, deadline, clock)


def post(
    url: str,
    *,
    json: bytes,
    trust: ssl.SSLContext | None,
    deadline: float,
    clock: Clock,
    trace: Mapping[str, str] = _NO_TRACE,
) -> Answer:
    """Send a JSON document to `url` by POST, with the limits and errors of `get`. There is no retry."""
    with open_pool(url, trust) as pool:
        return _exchange(pool, "POST", url, {"Content-Type": "application/json", **trace}, json, deadline, clock)


def post_form(
    url: str,
    *,
    form: Mapping[str, str] | Sequence[tuple[str, str]],
    authorization: str | None,
    trust: ssl.SSLContext | None,
    deadline: float,
    clock: Clock,
    headers: Mapping[str, str] | None = None,
    trace: Mapping[str, str] = _NO_TRACE,
) -> Answer:
    """Send a form to `url` by POST, with the limits and errors of `get`. OAuth endpoints accept only forms."""
    sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {}), **trace}
    if authorization is not None:
        sent["Authorization"] = authorization
    with open_pool(url, trust) as pool:
        return _exchange(pool, "POST", url, sent, urlencode(form).encode(), deadline, clock)


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
            dpop_nonce=response.headers.get("DPoP-Nonce"),
            challenges=tuple(response.headers.getlist("WWW-Authenticate")),
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
