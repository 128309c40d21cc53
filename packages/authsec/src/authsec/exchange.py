"""One exchange over HTTP, with limits on time and size, and no redirects. What an answer means is the caller's to say.

There is no connection kept open: an agent asks about once an hour, and what is not kept cannot be shared by mistake
after a fork or a copy.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout

from authsec.clock import Clock
from authsec.pools import open_pool

USER_AGENT = "authsec-python/0.1.0"
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` may hold a token, so it is in no repr."""

    status: int
    content_type: str
    date: str | None
    retry_after: str | None
    location: str | None
    audience: str | None = None  # of the API that was answered, where the authority says so
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, content_type={self.content_type!r}, {len(self.body)} bytes)"


class AnswerTooLarge(Exception):
    """More than `MOST_BYTES` came; `status` is the answer's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"an answer of more than {MOST_BYTES} bytes")
        self.status = status


def get(url: str, *, authorization: str | None, trust: ssl.SSLContext | None, deadline: float, clock: Clock) -> Answer:
    """GET `url`, until `deadline` on the monotonic clock. `trust` is needed for https only.

    Raises an `HTTPError` of urllib3 (a `TimeoutError` when the time is up), `AnswerTooLarge`, or `ConfigError` for a
    proxy that cannot be used.
    """
    headers = {} if authorization is None else {"Authorization": authorization}
    with open_pool(url, trust) as pool:
        return _exchange(pool, "GET", url, headers, None, deadline, clock)


def post(url: str, *, json: bytes, trust: ssl.SSLContext | None, deadline: float, clock: Clock) -> Answer:
    """POST a JSON document to `url`, in the same way. Nothing is sent twice."""
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
    """POST a form to `url`, in the same way: for OAuth's endpoints, which take nothing else."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    with open_pool(url, trust) as pool:
        return _exchange(pool, "POST", url, headers, urlencode(form).encode(), deadline, clock)


def http_date(header: str | None) -> datetime | None:
    """What a Date header says (RFC 9110 §6.6.1), or None for one that is missing or says nothing."""
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:  # as its docstring says: it says nothing
        return None


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
    """Read in small steps: the socket's own time limit starts anew with every byte that drips in."""
    body = bytearray()
    while piece := response.read1(8192):
        body += piece
        if len(body) > MOST_BYTES:
            raise AnswerTooLarge(response.status)
        if clock.monotonic() >= deadline:
            raise exceptions.TimeoutError
    return bytes(body)
