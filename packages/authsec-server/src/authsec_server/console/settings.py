"""The page of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.formatting import duration
from authsec_server.console.site import Console, PageRequest
from authsec_server.keys.master_key import FILE_NAME
from authsec_server.principal import Role
from authsec_server.settings import ENV_PREFIX, MINUTE, Origin, Settings

ORIGINS = {
    Origin.OPTION: "command-line option",
    Origin.ENVIRONMENT: "environment variable",
    Origin.DEFAULT: "default",
}
DURATIONS = {
    "max_token_lifetime",
    "signing_key_max_age",
    "drain_seconds",
    "session_idle",
    "session_lifetime",
    "bootstrap_key_lifetime",
    "lookup_seconds",
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Server": (
        "data",
        "database",
        "workers",
        "environment",
        "metrics_host",
        "metrics_port",
        "drain_seconds",
        "log_format",
        "log_level",
        "log_granted",
        "traces",
        "security_contact",
    ),
    "Network": (
        "host",
        "port",
        "surface",
        "public_url",
        "console_url",
        "tls_cert",
        "tls_key",
        "allowed_hosts",
        "trusted_proxies",
    ),
    "Tokens and keys": (
        "trust_domain",
        "default_audience",
        "max_token_lifetime",
        "dpop_nonce",
        "master_key_file",
        "signing_key_max_age",
    ),
    "Limits": ("address_limit", "unproved_limit", "client_limit", "max_in_flight", "signers"),
    "Outgoing requests": (
        "outbound_http_hosts",
        "outbound_private_hosts",
        "outbound_ca_file",
        "credentials_dir",
        "lookup_seconds",
    ),
    "Single sign-on": (
        "oidc_issuer",
        "oidc_client_id",
        "oidc_client_secret_file",
        "oidc_scopes",
        "oidc_role_claim",
        "oidc_admin_values",
        "oidc_operator_values",
        "oidc_viewer_values",
        "oidc_label",
    ),
    "Sessions and admin keys": (
        *("second_factor", "session_idle", "session_lifetime"),
        *("bootstrap_key_file", "bootstrap_key_lifetime"),
    ),
    "Audit log": (
        "sealing_key_file",
        "audit_checkpoints",
        "audit_checkpoints_token_file",
        "audit_retention_days",
        "audit_export_folder",
    ),
}
"""The settings of each group, in the order of the page."""
IN_FORCE: Mapping[str, tuple[Callable[[Settings], object], str]] = {
    "database": (lambda settings: settings.database_file, "default, in DATA"),
    "public_url": (lambda settings: settings.issuer, "default, from HOST and PORT"),
    "console_url": (lambda settings: settings.console_address, "default, from PUBLIC_URL"),
    "master_key_file": (lambda settings: (settings.data / FILE_NAME).absolute(), "default, in DATA"),
}
"""The value of a setting that is not set, and the source of that value."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the settings page."""
    return [console.page("/settings", show, least=Role.ADMIN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSetting:
    """One setting. `is_changed` says whether an option or an environment variable sets the value."""

    name: str
    value: str
    meaning: str
    origin: str
    is_changed: bool

    def contains(self, text: str) -> bool:
        """Whether the name, the value and the meaning contain each word of the text, in any case.

        A space also matches an underscore.
        """
        shown = _plain(f"{self.name} {self.value} {self.meaning}")
        return all(word in shown for word in _plain(text).split())


def _plain(text: str) -> str:
    return text.casefold().replace("_", " ")


async def show(visit: PageRequest) -> Response:
    """Show the settings that match the filter, by group."""
    settings, text, only_changed = visit.console.settings, visit.query.text("text"), visit.query.ticked("changed")
    groups = {
        group: [
            row
            for row in (_row(settings, name) for name in names)
            if row.contains(text) and (row.is_changed or not only_changed)
        ]
        for group, names in GROUPS.items()
    }
    return visit.render(
        "settings/show.html",
        title="Settings",
        groups={group: rows for group, rows in groups.items() if rows},
        found=sum(map(len, groups.values())),
        total=len(Settings.model_fields),
        text=text,
        only_changed=only_changed,
        issuer=settings.issuer,
    )


def _row(settings: Settings, name: str) -> ShownSetting:
    return ShownSetting(
        name=f"{ENV_PREFIX}{name.upper()}",
        value=value_of(settings, name),
        meaning=Settings.model_fields[name].description or "",
        origin=origin_of(settings, name),
        is_changed=settings.origin(name) is not Origin.DEFAULT,
    )


def value_of(settings: Settings, name: str) -> str:
    """Format the effective value of the setting.

    A setting that the repr of `Settings` leaves out is not shown, because it can be a password.
    """
    value: Any = getattr(settings, name)
    if name in IN_FORCE and not value:
        return str(IN_FORCE[name][0](settings))
    if not Settings.model_fields[name].repr:
        return "set, but hidden" if value else ""
    if name in DURATIONS:
        return f"{duration(value)} ({value:.12g} s)" if value >= MINUTE else f"{value:.12g} s"
    if isinstance(value, bool):
        return str(value).lower()  # as environment variables and docs/settings.md write it
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def origin_of(settings: Settings, name: str) -> str:
    """Describe where the setting's value comes from."""
    return IN_FORCE[name][1] if name in IN_FORCE and not getattr(settings, name) else ORIGINS[settings.origin(name)]
