"""The page of settings."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.site import Console, Visit
from authsec_server.principal import Role
from authsec_server.settings import ENV_PREFIX, Settings

ORIGINS = {"option": "command-line option", "environment": "environment", "default": "default"}


def routes(console: Console) -> list[BaseRoute]:
    """The page of this noun."""
    return [console.page("/settings", show, least=Role.ADMIN)]


async def show(visit: Visit) -> Response:
    """Every setting."""
    settings = visit.console.settings
    rows = [
        {
            "name": f"{ENV_PREFIX}{name.upper()}",
            "value": value_of(settings, name),
            "meaning": field.description,
            "origin": ORIGINS[settings.origin(name)],
        }
        for name, field in Settings.model_fields.items()
    ]
    return visit.render("settings/show.html", title="Settings", rows=rows, issuer=settings.issuer)


def value_of(settings: Settings, name: str) -> str:
    """The value in words. What has no place in a repr has none on a page: it may hold a password."""
    value: Any = getattr(settings, name)
    if not Settings.model_fields[name].repr:
        return "set, and not shown" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
