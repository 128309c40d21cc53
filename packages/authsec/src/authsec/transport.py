"""One request to the authority and its response: the URL, the system's trust store, and error messages.

`authority` and `refusals` interpret the response.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import urlencode, urlsplit

from urllib3 import exceptions

from authsec import http_client, traces
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.errors import InvalidResponse, TransportError
from authsec.http_answer import Answer, AnswerTooLarge
from authsec.safe_text import plain
from authsec.tls_and_proxy import trust_store


class Transport:
    """Sends requests to the authority of `config`. Thread-safe.

    `requests_sent` is the number of requests, for diagnosis.
    """

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
        """Send a GET request to `{base_url}/authsec/{path}`. `deadline` is a time on the monotonic clock.

        Raises `TransportError` if no complete response arrives in time. Raises `InvalidResponse` if the response is
        too large.
        """
        url = self._config.url(path) + (f"?{urlencode(query)}" if query else "")
        return self._exchanged(url, partial(http_client.get, url, authorization=authorization, deadline=deadline))

    def get_address(self, url: str, *, deadline: float) -> Answer:
        """Send a GET request without a proof to another address of the authority. Raises as `get` does."""
        return self._exchanged(url, partial(http_client.get, url, authorization=None, deadline=deadline))

    def post(self, path: str, *, json: bytes, deadline: float) -> Answer:
        """Send a JSON document to `{base_url}/authsec/{path}` by POST, without a retry. Raises as `get` does."""
        url = self._config.url(path)
        return self._exchanged(url, partial(http_client.post, url, json=json, deadline=deadline))

    def post_form(self, path: str, *, form: Mapping[str, str], deadline: float) -> Answer:
        """Send a form to `{base_url}/authsec/{path}` by POST, without a retry. Raises as `get` does."""
        url = self._config.url(path)
        send = partial(http_client.post_form, url, form=form, authorization=None, deadline=deadline)
        return self._exchanged(url, send)

    def post_form_at_root(
        self, path: str, *, form: Sequence[tuple[str, str]], headers: Mapping[str, str], deadline: float
    ) -> Answer:
        """Send a form to `{base_url}{path}` by POST, without a retry. Raises as `get` does."""
        url = f"{self._config.base_url.rstrip('/')}{path}"
        send = partial(http_client.post_form, url, form=form, authorization=None, deadline=deadline, headers=headers)
        return self._exchanged(url, send)

    def _exchanged(self, url: str, send: Callable[..., Answer]) -> Answer:
        if self._trust is None and urlsplit(url).scheme == "https":
            self._trust = trust_store(self._config.ca_file)
        self.requests_sent += 1
        try:
            return send(trust=self._trust, clock=self._clock, trace=traces.request_headers())
        except exceptions.HTTPError as error:
            raise _transport_error(error, self._config) from None
        except AnswerTooLarge as error:
            raise InvalidResponse(
                "The answer is larger than any answer of an AuthSec authority. Check AUTHSEC_BASE_URL.",
                reason="invalid_response",
                status=error.status,
            ) from None


def _transport_error(error: exceptions.HTTPError, config: AuthSecConfig) -> TransportError:
    """Return an error with a remedy, in place of urllib3's error.

    The text of urllib3's error is not used, because it contains URLs and object addresses.
    """
    where = urlsplit(config.base_url).netloc
    match error:
        case exceptions.SSLError():
            return _tls_error(error, where)
        case exceptions.ProxyError():
            return _error(
                "proxy_failed", (
                    f"The proxy of HTTPS_PROXY did not connect to {where}. If {where} needs no proxy, add its "
                    "host to NO_PROXY."
                ),
            )  # fmt: skip
        case exceptions.NameResolutionError():
            return _error("unreachable", f"The host name of {where} cannot be resolved. Check AUTHSEC_BASE_URL.")
        case exceptions.NewConnectionError():
            return _error(
                "unreachable",
                (
                    f"Nothing accepts connections at {where}. First check AUTHSEC_BASE_URL, then that the authority "
                    "is running."
                ),
            )
        case exceptions.TimeoutError():
            return _error(
                "timeout", f"{where} did not answer in time. The authority, or a proxy before it, may be overloaded."
            )
        case _:
            return _error(
                "connection_lost", (
                    f"The connection to {where} broke before the answer was complete. If this happens again, "
                    "check the network between this machine and the authority: a proxy, a load balancer."
                )
            )  # fmt: skip


def _tls_error(error: exceptions.SSLError, where: str) -> TransportError:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransportError(
            f"The certificate of {where} is not trusted ({plain(cause.verify_message, 120)}). If your company "
            "signs its own certificates, set AUTHSEC_CA_FILE to the PEM file of the company's certificate "
            "authority.",
            reason="certificate_untrusted",
        )
    return TransportError(
        f"No TLS connection to {where} could be made. Check that this port serves https.", reason="tls_failed"
    )


def _error(reason: str, message: str) -> TransportError:
    return TransportError(message, reason=reason, retryable=True)
