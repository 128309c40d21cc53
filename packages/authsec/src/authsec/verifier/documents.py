"""Fetches JSON documents from the authority, with limits on size and time.

The authority's metadata (RFC 8414) contains the addresses of the documents. Only addresses on the authority's
own host are accepted.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions
from urllib3.util import Timeout

from authsec import strict_json
from authsec.clock import Clock
from authsec.errors import ConfigError
from authsec.http_client import open_pool
from authsec.safe_text import plain
from authsec.tls_and_proxy import trust_store
from authsec.verifier.issuer import check_issuer

MOST_BYTES: Final = 256 * 1024
MOST_SECONDS: Final = 5.0
_HEADERS: Final = {
    "Accept": "application/json", "Accept-Encoding": "identity",
    # The answer must not come from a cache: this process itself decides how old a document may be.
    "Cache-Control": "no-cache",
    "User-Agent": "authsec-python",
}  # fmt: skip
NO_HEADERS: Final[Mapping[str, str]] = {}
# urllib3's own texts contain memory addresses of objects.
_WORDS: Final[Mapping[type[Exception], str]] = {
    exceptions.ProxyError: "the proxy of HTTPS_PROXY did not connect (list hosts that need no proxy in NO_PROXY)",
    exceptions.SSLError: (
        "its certificate is not trusted (set AUTHSEC_CA_FILE to the certificates of a private authority)"
    ),
    exceptions.NameResolutionError: "the host name cannot be resolved",
    exceptions.NewConnectionError: "nothing accepts connections there",
    exceptions.TimeoutError: f"no answer within {MOST_SECONDS:g} seconds",
}


class DocumentRefused(Exception):
    """The document cannot be fetched, or is not valid. The error text is safe to show."""


class AnotherIssuer(DocumentRefused):
    """The metadata contains another issuer than the expected one.

    A retry helps only after a person has corrected the issuer.
    """


class DocumentBusy(DocumentRefused):
    """The server is too busy to answer (503)."""


class Documents:
    """A client that fetches JSON objects of at most `most_bytes`. Only https needs `trust`."""

    def __init__(self, *, clock: Clock, trust: ssl.SSLContext | None, most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._trust = trust
        self._most_bytes = most_bytes

    def fetch(self, url: str) -> Mapping[str, Any]:
        """Fetch and parse the JSON object at `url`. Raises `DocumentRefused`."""
        body = self.get(url)
        try:
            document = strict_json.loads(body, max_bytes=self._most_bytes)
        except strict_json.StrictJsonError as error:
            raise DocumentRefused(f"{url} is not strict JSON: {error}") from None
        if not isinstance(document, dict):
            raise DocumentRefused(f"{url} is not a JSON object")
        return document

    def get(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """Fetch the JSON at `url` with these request headers, and return it unparsed. Raises `DocumentRefused`."""
        deadline = self._clock.monotonic() + MOST_SECONDS
        try:
            with open_pool(url, self._trust) as pool:
                response = pool.request(
                    "GET", url, headers={**headers, **_HEADERS}, timeout=Timeout(total=MOST_SECONDS),
                    retries=False, redirect=False, preload_content=False, decode_content=False,
                )  # fmt: skip
                try:
                    _check_answer(url, response)
                    return self._read(url, response, deadline)
                finally:
                    response.close()
        except exceptions.HTTPError as error:
            raise DocumentRefused(f"{url} cannot be fetched: {failure_text(error)}") from None
        except ConfigError as error:  # The proxy setting is read only here, and is invalid.
            raise DocumentRefused(f"{url} cannot be fetched: {error}") from None

    def _read(self, url: str, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """Read the body in small steps, and check the size and the deadline after each step.

        The socket's own timeout starts again with every byte, so it cannot enforce the deadline.
        """
        body = bytearray()
        while piece := response.read1(16_384):
            body += piece
            if len(body) > self._most_bytes:
                raise DocumentRefused(f"{url} is larger than {self._most_bytes} bytes")
            if self._clock.monotonic() >= deadline:
                raise DocumentRefused(f"{url} took longer than {MOST_SECONDS:g} seconds")
        return bytes(body)


def failure_text(error: exceptions.HTTPError) -> str:
    """Describe a failed request. urllib3's own text would contain memory addresses of objects."""
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "the connection broke")


def published_address(issuer: str, named: str, fetch: Callable[[str], Mapping[str, Any]]) -> str:
    """Return the address in the member `named` of the authority's metadata.

    Raises `DocumentRefused` for metadata of another issuer, and for an address on another host.
    """
    metadata = fetch(issuer.rstrip("/") + "/.well-known/oauth-authorization-server")
    its = metadata.get("issuer")
    if its != issuer:  # RFC 8414 §3.3: one authority must not pose as another.
        whose = f"the issuer {plain(its, 100)!r}" if isinstance(its, str) else "no issuer"
        raise AnotherIssuer(f"the authority's metadata names {whose} instead of {issuer!r}")
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}/"
    address = metadata.get(named)
    if address is None:
        raise DocumentRefused(f"the authority's metadata has no {named}")
    # The attack: somebody who controls another host publishes keys there. A check of the prefix needs no URL parser.
    if not isinstance(address, str) or not address.startswith(origin) or not _is_plain(address):
        raise DocumentRefused(f"the {named} in the authority's metadata does not begin with {origin}")
    return address


def _check_answer(url: str, response: urllib3.BaseHTTPResponse) -> None:
    if 300 <= response.status < 400:  # The configuration decides where keys come from, not a server's response.
        raise DocumentRefused(f"{url} redirected, and redirects are not followed")
    if response.status != 200:
        raise (DocumentBusy if response.status == 503 else DocumentRefused)(f"{url} answered {response.status}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise DocumentRefused(f"{url} is not served as JSON")


def _is_plain(url: str) -> bool:
    return len(url) <= 2048 and url.isascii() and url.isprintable() and " " not in url


def trust_for(issuer: str, ca_file: str | None, allow_http_hosts: Collection[str] | None) -> ssl.SSLContext | None:
    """Check the issuer, and return the trust store for https, or None for plain http. Raises `ConfigError`."""
    if allow_http_hosts is None:
        allow_http_hosts = os.environ.get("AUTHSEC_ALLOW_HTTP_HOSTS", "").replace(",", " ").split()
    check_issuer(issuer, allow_http_hosts)
    return trust_store(ca_file) if urlsplit(issuer).scheme == "https" else None
