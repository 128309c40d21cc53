"""The configuration of one agent: the authority's address, the agent's id and further settings.

The environment sets each value that the program does not pass. So the operator of a program can name a
certificate file, pin the issuer or allow plain http. No setting is a secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
import uuid
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, urlsplit

from authsec.errors import ConfigError

_EXAMPLES = {
    "AUTHSEC_BASE_URL": "https://YOUR-AUTHORITY",
    "AUTHSEC_AGENT_CLIENT_ID": "YOUR-CLIENT-ID",
}
_SHAPE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"  # the form of a client_id
_PLACEHOLDER = "your-client-id"
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# A host with an optional port and path. Errors repeat no other text, because it may contain a password.
_NO_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._/-]*)?")


def environment(name: str) -> str:
    """Return the variable's value without surrounding spaces; empty if the variable is not set."""
    return os.environ.get(name, "").strip()


def _dpop_from_environment() -> bool:
    value = environment("AUTHSEC_DPOP")
    if value not in {"", "0", "1"}:
        raise _invalid("dpop", "AUTHSEC_DPOP must be 1, or 0 or empty.")
    return value == "1"


def _hosts_from_environment() -> tuple[str, ...]:
    return tuple(environment("AUTHSEC_ALLOW_HTTP_HOSTS").replace(",", " ").split())


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSecConfig:
    """The settings of one agent. Raises `ConfigError`, which shows the line to add.

    `base_url` is the root of the authority's server, for example `https://authsec.example.com` (a path prefix is
    allowed). The SDK appends `/authsec/…`. `client_id` is the agent's id, as `authsec agents list` shows it. The
    id is no secret.

    `issuer` pins the authority's `iss`. Without `issuer`, the SDK reads the issuer from the authority's metadata.
    Then the server at `base_url` chooses the audience of this agent's proofs. Pin the issuer to prevent this
    choice. `proof_audience` is the audience of workload tokens (Kubernetes, SPIFFE, GitHub Actions). By default
    it is the authority's issuer. Set it if the trusted issuer of those tokens requires another audience.

    `timeout` limits one token request, including its retries, in seconds. `refresh_margin` is the time before
    expiry, in seconds, at which a token is renewed. The margin is at most half of the token's life. `ca_file`
    replaces the system's trust store. The SDK may connect to `allow_http_hosts` without TLS. Loopback hosts are
    always allowed.

    With `dpop`, tokens are bound to a key of this process (DPoP, RFC 9449). A thief of a token cannot use it. The
    agent needs a key pair, and its APIs need `TokenVerifier(dpop_origin=…)`.
    """

    base_url: str
    client_id: str
    issuer: str | None = field(default_factory=lambda: environment("AUTHSEC_ISSUER") or None)
    proof_audience: str | None = field(default_factory=lambda: environment("AUTHSEC_PROOF_AUDIENCE") or None)
    timeout: float = 10.0
    refresh_margin: float = 300.0
    ca_file: str | None = field(default_factory=lambda: environment("AUTHSEC_CA_FILE") or None)
    allow_http_hosts: tuple[str, ...] = field(default_factory=_hosts_from_environment)
    dpop: bool = field(default_factory=_dpop_from_environment)

    def __post_init__(self) -> None:
        if not self.base_url and not self.client_id:
            # One error names both settings, so that a user can set both in one go.
            raise ConfigError(
                "AuthSec does not know where your authority is, nor which agent this is: base_url and client_id are "
                "not set. Pass both to AuthSecConfig, or add, with your own values:\n"
                f"    {_example('AUTHSEC_BASE_URL')}\n    {_example('AUTHSEC_AGENT_CLIENT_ID')}",
                reason="base_url_missing",
            )
        _check_base_url(self.base_url, self.allow_http_hosts)
        _check_client_id(self.client_id)
        if not 0 < self.timeout <= 300:
            raise _invalid("timeout", "timeout must be between 0 and 300 seconds.")
        if self.refresh_margin < 0:
            raise _invalid("refresh_margin", "refresh_margin must not be negative.")

    @classmethod
    def from_env(cls, *, base_url: str | None = None, client_id: str | None = None, dpop: bool | None = None) -> Self:
        """Read the settings from the environment; arguments take precedence.

        The variables are `AUTHSEC_BASE_URL`, `AUTHSEC_AGENT_CLIENT_ID` and others.
        """
        return cls(
            base_url=environment("AUTHSEC_BASE_URL") if base_url is None else base_url,
            client_id=environment("AUTHSEC_AGENT_CLIENT_ID") if client_id is None else client_id,
            dpop=_dpop_from_environment() if dpop is None else dpop,
        )

    def url(self, path: str) -> str:
        """Return the URL of a path below the authority's `/authsec/`."""
        return f"{self.base_url.rstrip('/')}/authsec/{path}"


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def export_line(name: str, value: str) -> str:
    """Return the line that sets an environment variable, in the syntax of this system's shell."""
    return f'$env:{name} = "{value}"' if os.name == "nt" else f'export {name}="{value}"'


def missing_variable(name: str) -> str:
    """Return the message for a required variable that is not set."""
    return f"{name} is not set. Add, with your own value:\n    {export_line(name, 'YOUR-VALUE')}"


def _check_base_url(base_url: str, allow_http_hosts: tuple[str, ...]) -> None:
    if not base_url:
        raise _missing("base_url", "AUTHSEC_BASE_URL", "where your AuthSec authority is")
    parts = _split(base_url)
    if parts.username is not None or parts.password is not None:
        raise _invalid("base_url", "base_url must not have a user name or password, because URLs are logged.")
    if parts.query or parts.fragment or base_url.endswith(("?", "#")):
        raise _invalid("base_url", "base_url must be the server's root, without '?' or '#'.")
    host = str(parts.hostname)
    if parts.scheme == "http" and not is_loopback(host) and host not in {name.lower() for name in allow_http_hosts}:
        raise _invalid(
            "base_url",
            f"base_url is plain http, so others on the network could read this agent's tokens. Use "
            f"https://{parts.netloc}, or, if the network to this host is trusted, add:\n"
            f"    {export_line('AUTHSEC_ALLOW_HTTP_HOSTS', host)}",
        )


def _split(base_url: str) -> SplitResult:
    """Parse the URL. Raises `ConfigError` for a URL that two parsers could read differently.

    Error messages do not contain the URL. One message does: for a URL without a scheme, it shows the URL with a scheme.
    """
    wanted = f"base_url must be the server's root, for example:\n    {_example('AUTHSEC_BASE_URL')}"
    if not base_url.isascii() or not base_url.isprintable() or any(char in base_url for char in ' \\"<>^`{|}'):
        raise _invalid("base_url", wanted)
    if meant := with_scheme(base_url):
        raise _invalid(
            "base_url",
            f"base_url lacks its scheme, which comes before the address:\n    {export_line('AUTHSEC_BASE_URL', meant)}",
        )
    try:
        parts = urlsplit(base_url)
        port_is_valid = parts.port != 0
    except ValueError:
        raise _invalid("base_url", wanted) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
        raise _invalid("base_url", wanted)
    return parts


def with_scheme(address: str) -> str | None:
    """Add the scheme to an address without a scheme; return None for any other text."""
    meant = _NO_SCHEME.fullmatch(address)
    return f"{'http' if is_loopback(meant[1].strip('[]')) else 'https'}://{address}" if meant else None


def _check_client_id(client_id: str) -> None:
    """Refuse an id that is not a UUID in canonical form.

    The id is also part of a file's name (`keys/<client_id>.pem`). So an id must not lead to another path.
    """
    if not client_id:
        raise _missing("client_id", "AUTHSEC_AGENT_CLIENT_ID", "which agent this is")
    try:
        canonical = str(uuid.UUID(client_id.strip()))
    except ValueError:
        canonical = ""
    if client_id.lower() == _PLACEHOLDER:
        raise _invalid(
            "client_id",
            f"{client_id} is the placeholder of the docs. The agent's page in the console shows its Client ID, "
            f"and so does `authsec agents list`. A client_id has this form:\n"
            f"    {export_line('AUTHSEC_AGENT_CLIENT_ID', _SHAPE)}",
        )
    if client_id != canonical:
        slug = not canonical and _SLUG.fullmatch(client_id)
        wanted = "The SDK needs the agent's client_id, not its slug." if slug else "client_id must be the agent's id."
        wanted = "client_id has spaces at its start or end." if client_id.strip() == canonical else wanted
        raise _invalid(
            "client_id",
            f"{wanted} `authsec agents list` shows it. "
            f"{'Write it like this' if canonical else 'A client_id has this form'}:\n"
            f"    {export_line('AUTHSEC_AGENT_CLIENT_ID', canonical or _SHAPE)}",
        )


def _example(name: str) -> str:
    return export_line(name, _EXAMPLES[name])


def _missing(setting: str, variable: str, what: str) -> ConfigError:
    return ConfigError(
        f"AuthSec does not know {what}: {setting} is not set. Pass {setting} to AuthSecConfig, "
        "or add, with your own value:\n"
        f"    {_example(variable)}",
        reason=f"{setting}_missing",
    )


def _invalid(setting: str, message: str) -> ConfigError:
    return ConfigError(message, reason=f"{setting}_invalid")
