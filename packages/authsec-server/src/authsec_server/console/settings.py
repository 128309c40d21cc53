"""The page of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
IN_FORCE: Mapping[str, tuple[Callable[[Settings], object], str]] = {
    "database": (lambda settings: settings.database_file, "default, in DATA"),
    "public_url": (lambda settings: settings.issuer, "default, from HOST and PORT"),
    "master_key_file": (lambda settings: (settings.data / FILE_NAME).absolute(), "default, in DATA"),
}
"""The value of a setting that is not set, and the source of that value."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of the settings page."""
    return [console.page("/settings", show, least=Role.ADMIN)]


async def show(visit: PageRequest) -> Response:
    """Show all settings."""
    settings = visit.console.settings
    rows = [
        {
            "name": f"{ENV_PREFIX}{name.upper()}",
            "value": value_of(settings, name),
            "meaning": field.description,
            "origin": origin_of(settings, name),
            "given": settings.origin(name) is not Origin.DEFAULT,
        }
        for name, field in Settings.model_fields.items()
    ]
    return visit.render("settings/show.html", title="Settings", rows=rows, issuer=settings.issuer)


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
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def origin_of(settings: Settings, name: str) -> str:
    """Describe where the setting's value comes from."""
    return IN_FORCE[name][1] if name in IN_FORCE and not getattr(settings, name) else ORIGINS[settings.origin(name)]
