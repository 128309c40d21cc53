"""One GET to the authority, and nothing else: limits on time and size, no redirects, the system's trust store.

What an answer means is not known here (see `authority` and `refusals`). There is no connection kept open: an agent
asks about once an hour, and what is not kept cannot be shared by mistake after a fork or a copy.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout

from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.errors import InvalidResponse, TransportError
from authsec.pools import open_pool, trust_store
from authsec.wording import plain

_USER_AGENT = "authsec-python/0.1.0"
MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` may hold a token, so it is in no repr."""

    status: int
    content_type: str
    date: str | None
    retry_after: str | None
    location: str | None
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, content_type={self.content_type!r}, {len(self.body)} bytes)"


class Transport:
    """Speaks to the authority of `config`. Used from any thread; `requests_sent` counts, for diagnosis."""

    def __init__(self, config: AuthSecConfig, clock: Clock) -> None:
        self.requests_sent = 0
        self._config = config
        self._clock = clock
        self._trust: ssl.SSLContext | None = None

    def get(
        self,
        path: str,
        *,
        deadline: float,
        query: list[tuple[str, str]] | None = None,
        authorization: str | None = None,
    ) -> Answer:
        """GET `{base_url}/authsec/{path}`. `deadline` is on the monotonic clock.

        Raises `TransportError` when no whole answer came in time, `InvalidResponse` when it is too large.
        """
        url = self._config.url(path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if authorization is not None:
            headers["Authorization"] = authorization
        self.requests_sent += 1
        try:
            with self._pool() as pool:
                return self._exchange(pool, url, headers, deadline)
        except exceptions.HTTPError as error:
            raise _transport_error(error, self._config) from None

    def _exchange(self, pool: urllib3.PoolManager, url: str, headers: dict[str, str], deadline: float) -> Answer:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise _too_slow()
        response = pool.request(
            "GET", url, headers=headers, retries=False, redirect=False, preload_content=False,
            decode_content=False, timeout=Timeout(total=left),
        )  # fmt: skip
        try:
            return Answer(
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                date=response.headers.get("Date"),
                retry_after=response.headers.get("Retry-After"),
                location=response.headers.get("Location"),
                body=self._read(response, deadline),
            )
        finally:
            response.close()

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """Read in small steps: the socket's own time limit starts anew with every byte that drips in."""
        body = bytearray()
        while piece := response.read1(8192):
            body += piece
            if len(body) > MOST_BYTES:
                raise InvalidResponse(
                    "The answer is larger than any that an AuthSec authority sends. Is AUTHSEC_BASE_URL right?",
                    reason="invalid_response",
                    status=response.status,
                )
            if self._clock.monotonic() >= deadline:
                raise _too_slow()
        return bytes(body)

    def _pool(self) -> urllib3.PoolManager:
        if self._trust is None and urlsplit(self._config.base_url).scheme == "https":
            self._trust = trust_store(self._config.ca_file)
        return open_pool(self._config.base_url, self._trust)


def _transport_error(error: exceptions.HTTPError, config: AuthSecConfig) -> TransportError:
    """In words that a person can act on; urllib3's own text holds URLs and object addresses."""
    where = urlsplit(config.base_url).netloc
    match error:
        case exceptions.SSLError():
            return _tls_error(error, where)
        case exceptions.ProxyError():
            return _error(
                "proxy_failed", f"The proxy of HTTPS_PROXY did not connect to {where}. If it is reached directly, "
                f"put it into NO_PROXY.",
            )  # fmt: skip
        case exceptions.NameResolutionError():
            return _error("unreachable", f"The host name of {where} is not known here. Is AUTHSEC_BASE_URL right?")
        case exceptions.NewConnectionError():
            return _error("unreachable", f"Nothing accepts connections at {where}. Is the authority running?")
        case exceptions.TimeoutError():
            return _too_slow()
        case _:
            return _error("connection_lost", f"The connection to {where} broke before the answer was complete.")


def _tls_error(error: exceptions.SSLError, where: str) -> TransportError:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransportError(
            f"The certificate of {where} is not trusted ({plain(cause.verify_message, 120)}). If your company signs "
            "its own certificates, set AUTHSEC_CA_FILE to the PEM file of its authority.",
            reason="certificate_untrusted",
        )
    return TransportError(
        f"No TLS connection to {where} could be made. Does this port speak https?", reason="tls_failed"
    )


def _too_slow() -> TransportError:
    return _error("timeout", "The authority did not answer in time.")


def _error(reason: str, message: str) -> TransportError:
    return TransportError(message, reason=reason, retryable=True)
