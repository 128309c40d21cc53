"""Two ways to an authority's admin API: in process, on the server's own machine; over HTTPS, with an admin key.

Each sends one request and hands back the response; what it means is the caller's to say (`caller.py`).
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit

import anyio
import click
import httpx2
import structlog
from authsec.config import export_line, is_loopback
from authsec.errors import ConfigError
from authsec.pools import trust_store

from authsec_server.accounts.model import is_admin_key
from authsec_server.app import as_served, open_authority
from authsec_server.cli.output import say_failed
from authsec_server.db import open_database
from authsec_server.failures import Failure
from authsec_server.settings import Settings

API: Final = "/authsec/api/v1/"
_ANSWERS_WITHIN: Final = 0.5  # seconds, on this machine
_TIMEOUT: Final = httpx2.Timeout(30, connect=5)  # seconds


class CallFailed(click.ClickException):
    """The call was refused or could not be made. Click prints it and exits with status 1, without a traceback."""

    def __init__(self, message: str, remedy: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.request_id = request_id

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature; a failure always goes to stderr
        say_failed(self.message, self.remedy, self.request_id)


class Reach(Protocol):
    """A way to an authority."""

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        """Send one request to `path` below the API's root. Raises `CallFailed` when there is no response."""

    def address(self) -> str:
        """The root of the authority, as those who call it know it. Raises `CallFailed`."""

    def silent_address(self) -> str:
        """The address where the authority should be served and nobody answers; empty where that cannot be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """The authority over this data, opened for the one call, as the local operator. A server may run meanwhile."""

    settings: Settings

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        try:
            with _errors_only(), open_authority(self.settings, local_operator=True) as authority:
                # What fails inside is answered as it would be over the network. The caller has no address.
                transport = httpx2.ASGITransport(authority.app, raise_app_exceptions=False, client=("", 0))

                async def call() -> httpx2.Response:
                    async with httpx2.AsyncClient(transport=transport, base_url=authority.issuer) as client:
                        return await client.request(method, API + path, **content)

                return anyio.run(call)
        except Failure as failure:
            raise CallFailed(failure.message, failure.remedy) from None

    def address(self) -> str:
        try:
            with closing(open_database(self.settings.database_url)) as database:
                return as_served(self.settings, database).issuer
        except Failure as failure:
            raise CallFailed(failure.message, failure.remedy) from None

    def silent_address(self) -> str:
        address = urlsplit(self.address())
        host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
        if not is_loopback(host):  # behind a proxy, or not to be reached from here: that proves nothing
            return ""
        try:
            socket.create_connection((host, port), timeout=_ANSWERS_WITHIN).close()
        except OSError:
            return address.geturl()
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """The authority at `base_url`. `allow_http_hosts` may be spoken to without TLS; loopback always may."""

    base_url: str
    admin_key: str = field(repr=False)
    ca_file: str | None = None
    allow_http_hosts: tuple[str, ...] = ()

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        parts = self._checked()
        secure = parts.scheme == "https"
        host = str(parts.hostname)
        try:
            with httpx2.Client(
                verify=trust_store(self.ca_file) if secure else False,
                trust_env=secure and not is_loopback(host),  # a proxy for plain http would read the key
                follow_redirects=False,  # the key is for this address only
                timeout=_TIMEOUT,
            ) as client:
                headers = {"Authorization": f"Bearer {self.admin_key}"}
                return client.request(method, self.base_url.rstrip("/") + API + path, headers=headers, **content)
        except ConfigError as error:
            raise CallFailed(str(error)) from None
        except httpx2.HTTPError as error:
            raise _unreachable(error, parts.netloc) from None

    def address(self) -> str:
        return self.base_url.rstrip("/")

    def silent_address(self) -> str:
        return ""  # it has just answered

    def _checked(self) -> SplitResult:
        """The address's parts, once neither address nor key can betray the key. Raises `CallFailed`."""
        parts = _split(self.base_url)
        host = str(parts.hostname)
        if parts.scheme == "http" and not is_loopback(host) and host not in self.allow_http_hosts:
            raise CallFailed(
                f"http://{parts.netloc} would carry the admin key where anybody on the way can read it.",
                f"Use https, or, if the network to it is trusted: {export_line('AUTHSEC_ALLOW_HTTP_HOSTS', host)}",
            )
        if not is_admin_key(self.admin_key):  # some other secret, perhaps: it stays here
            raise CallFailed(
                "AUTHSEC_ADMIN_KEY does not hold an admin key: `authsec_` and 43 characters.",
                "Make one on the server's machine: authsec admin create-key NAME",
            )
        return parts


def _split(base_url: str) -> SplitResult:
    refused = CallFailed(
        "AUTHSEC_BASE_URL must be the root of the authority's server.",
        export_line("AUTHSEC_BASE_URL", "https://authsec.example.com"),
    )
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise refused from None
    # A user name could be there to make a foreign host look like ours.
    if not host or parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        raise refused
    return parts


def _unreachable(error: httpx2.HTTPError, where: str) -> CallFailed:
    """In words to act on; the library's own hold addresses of objects, and say nothing of ours."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CallFailed(
            f"The certificate of {where} is not trusted.",
            "If your company signs its own, name its certificates: "
            + export_line("AUTHSEC_CA_FILE", "/path/to/ca.pem"),
        )
    if isinstance(error, httpx2.ProxyError):
        return CallFailed(f"The proxy did not connect to {where}.", "If it is reached directly, put it into NO_PROXY.")
    if isinstance(error, httpx2.TimeoutException):
        return CallFailed(f"{where} did not answer in time.", "Is AUTHSEC_BASE_URL right? If so, try again.")
    if isinstance(error, httpx2.ConnectError):
        return CallFailed(f"Nothing answers at {where}.", "Is AUTHSEC_BASE_URL right, and is the authority running?")
    return CallFailed(f"The connection to {where} broke before the answer was complete.", "Look before you try again.")


@contextmanager
def _errors_only() -> Iterator[None]:
    """The authority's own log, in process: one line on stderr for what it could not do, and nothing on stdout."""
    before: dict[str, Any] = structlog.get_config()
    structlog.configure(
        processors=[_one_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """What happened and its particulars; a traceback is for a server's log, not for a person at a terminal."""
    particulars = [f"{name}={value!r}" for name, value in event.items() if name not in {"event", "exc_info", "where"}]
    return " ".join(["log:", str(event["event"]), *particulars])
