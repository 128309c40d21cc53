"""The transport over HTTPS, with an admin key.

The module imports nothing of the server, because a command that only calls a server must start fast.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpx2
from authsec.config import export_line, is_loopback
from authsec.errors import ConfigError
from authsec.exit_status import Exit
from authsec.tls_and_proxy import trust_store

from authsec_server.accounts.model.admin_keys import is_admin_key
from authsec_server.cli.needed_role import create_key_command
from authsec_server.cli.transport import API, CallFailed, result

_TIMEOUT: Final = httpx2.Timeout(30, connect=5)  # seconds
_WHOLE: Final = httpx2.Timeout(600, connect=5)  # seconds, for a whole configuration with thousands of entities
_LOOK: Final = (
    "The change may have been made, or may still be made. Check before you try again: authsec audit list shows "
    "changes, authsec export and the lists show the current state, and --dry-run shows what would still change."
)
_COMPARES: Final = "configuration/compare"
_PAUSES: Final = (0.5, 1.0)  # seconds before a second and a third try
_LONGEST_PAUSE: Final = 5.0  # seconds: the longest Retry-After that the command waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """The authority at `base_url`. Plain HTTP is allowed only for loopback and for `allow_http_hosts`."""

    base_url: str
    admin_key: str = field(repr=False)
    ca_file: str | None = None
    allow_http_hosts: tuple[str, ...] = ()
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random  # 0 to 1, so that many clients do not retry at the same moment

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        """Send the request. Retry up to twice, but only if a retry cannot make the same change twice.

        Raises `CallFailed`.
        """
        for pause in _PAUSES:
            wait = pause
            try:
                answer = self._sent(method, path, content)
            except _Broken as broken:
                if _changes(method, path):
                    raise broken.failure from None
            else:
                seconds = _seconds_before_retry(answer, method, path)
                if seconds is None:
                    return answer
                wait = max(seconds, pause)
            self.sleep(wait * (1 + self.jitter() / 2))
        try:
            return self._sent(method, path, content)
        except _Broken as broken:
            raise broken.failure from None

    def _sent(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        """Send the request once. Raises `CallFailed`, or `_Broken` if the connection breaks during the request."""
        parts = self._checked()
        secure = parts.scheme == "https"
        host = str(parts.hostname)
        try:
            with httpx2.Client(
                verify=trust_store(self.ca_file) if secure else False,
                trust_env=secure and not is_loopback(host),  # a proxy could read the key in plain http
                follow_redirects=False,  # other addresses must not receive the key
                timeout=_WHOLE if path.startswith("configuration") else _TIMEOUT,
            ) as client:
                client.headers["Authorization"] = f"Bearer {self.admin_key}"
                return client.request(method, self.base_url.rstrip("/") + API + path, **content)
        except ConfigError as error:
            raise CallFailed(str(error)) from None
        except httpx2.HTTPError as error:
            failure = _unreachable(error, parts.netloc, changes=_changes(method, path))
            if isinstance(error, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
                raise _Broken(failure) from None
            raise failure from None

    @contextmanager
    def session(self) -> Iterator[Remote]:
        """Yield this object, because a server is always open."""
        yield self

    def address(self) -> str:
        """Ask for the URLs of the authority, because agents may not reach the URL of the admin API."""
        answer = self.send("GET", "authority", {})
        if answer.status_code == 404:  # a server of an earlier release
            return self.console_address()
        urls = result(answer)
        return self.console_address() if urls["issuer"] == urls["console"] else str(urls["issuer"])

    def console_address(self) -> str:
        return self.base_url.rstrip("/")

    def silent_address(self) -> str:
        return ""  # the server has just answered

    def _checked(self) -> SplitResult:
        """Return the parts of the base URL, after checking the URL and the key. Raises `CallFailed`.

        An unsafe URL would expose the key on the network. A value that is not an admin key may be another secret,
        so it is not sent.
        """
        parts = _split(self.base_url)
        host = str(parts.hostname)
        if parts.scheme == "http" and not is_loopback(host) and host not in self.allow_http_hosts:
            raise CallFailed(
                f"http://{parts.netloc} would send the admin key unencrypted, so others on the network could read it.",
                f"Use https. If you trust this network, set: {export_line('AUTHSEC_ALLOW_HTTP_HOSTS', host)}",
            )
        if not is_admin_key(self.admin_key):  # it may be another secret: do not send it
            raise CallFailed(
                "AUTHSEC_ADMIN_KEY is not an admin key. An admin key is `authsec_` and 43 characters.",
                f"Create a key on the server's machine: {create_key_command()}",
            )
        return parts


class _Broken(Exception):
    """The connection broke before the answer was complete. The authority may have made the change."""

    def __init__(self, failure: CallFailed) -> None:
        super().__init__()
        self.failure = failure


def _seconds_before_retry(answer: httpx2.Response, method: str, path: str) -> float | None:
    """Return the seconds to wait before a retry, or None if the answer is final.

    A response 503 with `retryable` means that nothing was committed. Even then, a POST that changes something is
    not repeated, because a proxy may already have repeated the request.
    """
    if answer.status_code != 503 or (method == "POST" and _changes(method, path)):
        return None
    seconds = answer.headers.get("Retry-After", "")
    if not seconds.isdecimal() or int(seconds) > _LONGEST_PAUSE:
        return None
    if _changes(method, path) and not _says_retryable(answer):
        return None
    return float(seconds)


def _says_retryable(answer: httpx2.Response) -> bool:
    try:
        body = answer.json()
    except ValueError:  # an HTML page of a proxy
        return False
    return isinstance(body, dict) and body.get("retryable") is True


def _split(base_url: str) -> SplitResult:
    if not base_url:
        raise CallFailed(
            "AUTHSEC_ADMIN_KEY is set, but AUTHSEC_BASE_URL is not: set it to the address of the key's authority.",
            export_line("AUTHSEC_BASE_URL", "https://YOUR-AUTHORITY"),
        )
    refused = CallFailed(
        "AUTHSEC_BASE_URL must be the root of the authority's server.",
        export_line("AUTHSEC_BASE_URL", "https://YOUR-AUTHORITY"),
    )
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise refused from None
    # The attack: `https://authsec.example.com@evil.example` looks like our host, but the key goes to another host.
    if not host or parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        raise refused
    return parts


def _changes(method: str, path: str) -> bool:
    """Whether the request can change something if it arrives."""
    return method != "GET" and path != _COMPARES and "dry_run=" not in path


def _unreachable(error: httpx2.HTTPError, where: str, *, changes: bool) -> CallFailed:
    """Convert a connection error to a message with a remedy.

    The error texts of the HTTP library contain memory addresses and do not name the authority.
    """
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CallFailed(
            f"The certificate of {where} is not trusted.",
            "If your company signs its own certificates, set: " + export_line("AUTHSEC_CA_FILE", "/path/to/ca.pem"),
        )
    if isinstance(error, httpx2.ProxyError):
        said = f"The proxy did not connect to {where}.", "If the authority needs no proxy, add its host to NO_PROXY."
    elif isinstance(error, httpx2.ConnectTimeout):
        said = f"{where} did not answer in time.", "Nothing was sent. Check AUTHSEC_BASE_URL, then try again."
    elif isinstance(error, httpx2.TimeoutException):
        said = f"{where} did not answer in time.", _LOOK if changes else "Check AUTHSEC_BASE_URL, then try again."
    elif isinstance(error, httpx2.ConnectError) and "[SSL" in str(error):
        said = f"No TLS connection to {where} could be made.", "Check in AUTHSEC_BASE_URL that this port serves https."
    elif isinstance(error, httpx2.ConnectError):
        said = f"Nothing answers at {where}.", "Check AUTHSEC_BASE_URL, and that the authority is running."
    else:
        said = f"The connection to {where} broke before the answer was complete.", _LOOK if changes else "Try again."
    return CallFailed(*said, exit_code=Exit.UNREACHABLE)
