"""Every setting of the server, with its meaning and its safe default. Environment: `AUTHSEC_SERVER_<NAME>`.

Only `database` can contain a secret: the password in the URL. Therefore no repr shows `database`. For the
master key, the settings have only the name of its file.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from authsec_server import settings_errors
from authsec_server.database_urls import is_database_url, sqlalchemy_url
from authsec_server.failures import StartupRefused
from authsec_server.security_contact import SecurityContacts
from authsec_server.setting_values import CommaSeparated, HostNames, HostsOrNetworks, Networks, RootUrl, TrustDomain

ENV_PREFIX = "AUTHSEC_SERVER_"
DEFAULT_PORT = 7468
MINUTE, HOUR, DAY = 60, 3600, 86_400
MAX_TOKEN_LIFETIME_CAP = 7 * DAY


class Origin(StrEnum):
    """The origin of a setting's value. An option overrides the environment."""

    OPTION = "option"
    ENVIRONMENT = "environment"
    DEFAULT = "default"


class Settings(BaseModel):
    """The settings of this authority. Durations are in seconds, rates in requests per minute."""

    model_config = ConfigDict(frozen=True)

    data: Path = Field(Path("authsec-data"), description="Folder for the embedded database and the master key file.")
    database: str = Field("", repr=False, description="postgresql://… ; empty means SQLite in the data folder.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 picks a free port.")
    surface: str = Field("all", pattern="^(agents|admin|all)$", description="Addresses to serve: see docs/operate.md.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of server processes that share the port; more than one needs PostgreSQL. Each process "
        "allows its share of the rate limits: see docs/scaling.md.",
    )
    public_url: RootUrl = Field("", description="The URL that callers use, which is the issuer of every token.")
    console_url: RootUrl = Field("", description="The URL of the console, if it is not public_url: see docs/deploy.md.")
    trust_domain: TrustDomain = Field("authsec.internal", description="SPIFFE trust domain in the agents' SPIFFE IDs.")
    environment: str = Field(
        "", max_length=40, description="A label such as PRODUCTION, shown wherever people make decisions."
    )
    default_audience: str = Field(
        "authsec-api", min_length=1, description="Audience of delegations that name no audience."
    )
    max_token_lifetime: int = Field(
        24 * HOUR, ge=MINUTE, le=MAX_TOKEN_LIFETIME_CAP, description="Longest lifetime of a token."
    )
    master_key_file: Path | None = Field(
        None,
        description="File with the master key (32 random bytes in base64), which encrypts the stored signing keys.",
    )
    sealing_key_file: Path | None = Field(
        None, description="PEM file of an Ed25519 key that seals the audit log, separate from the master key."
    )
    signing_key_max_age: int = Field(30 * DAY, ge=HOUR, description="Age at which a signing key is rotated.")
    tls_cert: Path | None = Field(None, description="PEM certificate chain; turns HTTPS on.")
    tls_key: Path | None = Field(None, description="PEM key for the TLS certificate.")
    allowed_hosts: CommaSeparated = Field(
        (), description="Host headers to accept, in addition to the host of public_url."
    )
    trusted_proxies: Networks = Field((), description="Networks whose X-Forwarded-For header is trusted.")
    security_contact: SecurityContacts = Field(
        (),
        description="Where to report vulnerabilities: mailto:, https: or tel: URIs, the preferred one first. They are "
        "published at /.well-known/security.txt.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address to listen on for /metrics.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port for /metrics of all workers, see docs/observe.md; 0 turns it off."
    )
    drain_seconds: float = Field(
        5.0,
        ge=0,
        le=300,
        description="Time between SIGTERM and closing the port. The server is unready during this time, and exits at "
        "most 20 s later.",
    )
    address_limit: int = Field(
        600,
        ge=1,
        description="Limit of token requests a minute from one address, at both token endpoints together. The same "
        "limit applies to revocations.",
    )
    unproved_limit: int = Field(
        60, ge=1, description="Limit of token requests a minute without a valid proof, from one address for one client."
    )
    client_limit: int = Field(
        600, ge=1, description="Limit of token requests a minute with a valid proof, for one client."
    )
    dpop_nonce: bool = Field(
        False,
        description="Demand a nonce of this authority in DPoP proofs at the OAuth token endpoint: see docs/oauth.md.",
    )
    max_in_flight: int = Field(512, ge=1, description="Limit of concurrent requests; further requests get 503.")
    signers: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Number of processes that sign tokens, for each worker. 0: the worker signs. Empty: the number of "
        "cores divided by the number of workers, from 1 to 4; 0 on a machine with one core.",
    )
    outbound_http_hosts: HostNames = Field((), description="Hosts that this server may call over plain http.")
    outbound_private_hosts: HostsOrNetworks = Field(
        (), description="Hosts, addresses or networks outside the public internet that this server may call."
    )
    outbound_ca_file: Path | None = Field(
        None, description="PEM certificates to trust for outgoing requests, in addition to the system's."
    )
    credentials_dir: Path | None = Field(
        None,
        description="Folder of the token files that this server uses to ask clusters about tokens and pods. The "
        "folder must contain no other files. The server reads a file again at each use.",
    )
    lookup_seconds: int = Field(
        30,
        ge=0,
        le=300,
        description="How long an answer of a cluster about a token or a pod is cached; 0 asks every time.",
    )
    oidc_issuer: str = Field("", description="OpenID provider for the sign-in of administrators; empty for none.")
    oidc_client_id: str = Field("", description="This server's client ID at the OpenID provider.")
    oidc_client_secret_file: Path | None = Field(
        None,
        description="File with this server's client secret at the OpenID provider, read at each use. Without the "
        "file, the client is a public client.",
    )
    oidc_scopes: str = Field(
        "openid email profile", description="Scopes to request from the OpenID provider, separated by spaces."
    )
    oidc_role_claim: str = Field(
        "roles", min_length=1, description="Claim that lists roles or groups; a dot selects a member of an object."
    )
    oidc_admin_values: CommaSeparated = Field((), description="Values of the role claim that give the role admin.")
    oidc_operator_values: CommaSeparated = Field(
        (), description="Values of the role claim that give the role operator."
    )
    oidc_viewer_values: CommaSeparated = Field((), description="Values of the role claim that give the role viewer.")
    oidc_label: str = Field(
        "Sign in with single sign-on", min_length=1, max_length=60, description="Label of the single sign-on button."
    )
    session_idle: int = Field(
        HOUR, ge=MINUTE, le=DAY, description="A console session ends after this time without use."
    )
    session_lifetime: int = Field(
        12 * HOUR, ge=5 * MINUTE, le=30 * DAY, description="Longest duration of a console session."
    )
    second_factor: str = Field("optional", pattern="^(optional|required)$", description="See docs/second-factor.md.")
    bootstrap_key_file: Path | None = Field(
        None,
        description="File with an admin key for automation, which the server registers when it starts; see "
        "docs/automation.md.",
    )
    bootstrap_key_lifetime: int = Field(
        DAY, ge=MINUTE, le=3650 * DAY, description="Validity of the bootstrap key, from the first start with this key."
    )
    audit_checkpoints: str = Field(
        "",
        repr=False,  # the URL can contain a secret
        description="Where each signed checkpoint of the audit log is sent: a file to append to, or an https address "
        "to post to. Choose a place where the database's administrators cannot write.",
    )
    audit_checkpoints_token_file: Path | None = Field(
        None, description="File with the bearer token for the address of audit_checkpoints, read at each use."
    )
    audit_retention_days: int = Field(
        0, ge=0, le=36_500, description="Days to keep events of the audit log; 0 keeps all: see docs/retention.md."
    )
    audit_export_folder: Path | None = Field(
        None, description="Folder for the exports of the scheduled retention. The server must never lose these files."
    )
    log_format: str = Field(
        "auto",
        pattern="^(auto|json|text)$",
        description="auto: text on a terminal, else JSON. json: JSON, and each line on stderr is an object.",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Lowest level in the log.")
    traces: bool = Field(False, description="Export OpenTelemetry traces of token requests: see docs/observe.md.")
    log_granted: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of granted token requests that have a line in the log; 0.01: one of a hundred. Refusals and "
        "errors always have one.",
    )

    @field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        if value and not is_database_url(value):
            raise ValueError("a database looks like postgresql://user@host:5432/name")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(f"{ENV_PREFIX}TLS_CERT and {ENV_PREFIX}TLS_KEY must be set together")
        if self.audit_retention_days and (self.audit_retention_days < 31 or self.audit_export_folder is None):
            raise ValueError(f"{ENV_PREFIX}AUDIT_RETENTION_DAYS must be at least 31, and needs AUDIT_EXPORT_FOLDER")
        return self

    @model_validator(mode="after")
    def _metrics_apart(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError(f"{ENV_PREFIX}METRICS_PORT must differ from {ENV_PREFIX}PORT: agents must not see metrics")
        return self

    @model_validator(mode="after")
    def _open_id(self) -> Self:
        values = self.oidc_admin_values + self.oidc_operator_values + self.oidc_viewer_values
        if self.oidc_issuer and not (self.oidc_client_id and values):
            raise ValueError(
                f"{ENV_PREFIX}OIDC_ISSUER needs {ENV_PREFIX}OIDC_CLIENT_ID, and at least one of OIDC_ADMIN_VALUES, "
                "OIDC_OPERATOR_VALUES and OIDC_VIEWER_VALUES: without a matching value nobody can sign in"
            )
        if "openid" not in self.oidc_scopes.split():
            raise ValueError(f"{ENV_PREFIX}OIDC_SCOPES must contain openid")
        return self

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def origin(self, name: str) -> Origin:
        """Return the origin of a setting's value."""
        return self._origins.get(name, Origin.DEFAULT)

    @property
    def database_file(self) -> Path:
        """Return the file of the embedded database, which the server uses if `database` is empty."""
        return (self.data / "authsec.sqlite3").absolute()

    @property
    def database_url(self) -> str:
        """Return the database URL in SQLAlchemy's form."""
        if not self.database:
            return f"sqlite:///{self.database_file}"
        return sqlalchemy_url(self.database)

    @property
    def sqlite_file(self) -> Path | None:
        """Return the file of the SQLite database, or None for PostgreSQL."""
        prefix = "sqlite:///"
        return Path(self.database_url.removeprefix(prefix)) if self.database_url.startswith(prefix) else None

    @property
    def signing_processes(self) -> int:
        """Return the number of processes that sign tokens for one worker."""
        # Windows cannot pass a socket to another process. A server for administrators issues no tokens.
        if sys.platform == "win32" or self.surface == "admin":
            return 0
        cores = os.cpu_count() or 1
        by_cores = 0 if cores == 1 else max(1, min(cores // self.workers, 4))
        return by_cores if self.signers is None else self.signers

    @property
    def database_connections(self) -> int:
        """Return the number of connections to PostgreSQL that a worker opens for its transactions.

        Each worker opens one more connection for notifications. So 16 workers open 96 connections. By default,
        PostgreSQL allows 97.
        """
        return max(5, min(16, 48 // self.workers))

    @property
    def issuer(self) -> str:
        """Return the issuer (`iss`, RFC 8414): `public_url`, or on loopback the address of the listener.

        The issuer never comes from the Host header. Raises `StartupRefused` if `public_url` is missing and `host` is
        not loopback.
        """
        if self.public_url:
            return self.public_url
        if not is_loopback(self.host):
            raise StartupRefused(
                f"Listening on {self.host} needs the URL that callers use, which is the issuer of every token.",
                f"Set {ENV_PREFIX}PUBLIC_URL=https://authsec.example.com (or --public-url).",
            )
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"

    @property
    def console_address(self) -> str:
        """Return the root URL of the console. Raises `StartupRefused` as `issuer` does."""
        return self.console_url or self.issuer


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a host name, which other machines may resolve
        return False


def load_settings(**given: Any) -> Settings:
    """Load the settings from the environment. Raises `StartupRefused`.

    `given` (command-line options) overrides the environment.
    """
    options = {name: value for name, value in given.items() if value is not None}
    known = [name.upper() for name in Settings.model_fields]
    if unknown := list(settings_errors.unknown_names(os.environ, ENV_PREFIX, known)):
        raise StartupRefused(
            f"Unknown settings in the environment: {'; '.join(unknown)}.",
            "Rename or unset the variable. docs/settings.md lists all settings.",
        )
    try:
        settings = Settings(**{**_of_environment(), **options})
    except ValidationError as error:
        raise StartupRefused(*settings_errors.message_and_remedy(error.errors(), ENV_PREFIX)) from None
    settings._origins = {
        name: Origin.OPTION if name in options else Origin.ENVIRONMENT for name in settings.model_fields_set
    }
    return settings


def _of_environment() -> dict[str, str]:
    """Return the values in the environment, by the names of the settings."""
    names = {f"{ENV_PREFIX}{name.upper()}": name for name in Settings.model_fields}
    return {names[name.upper()]: value for name, value in os.environ.items() if name.upper() in names}
