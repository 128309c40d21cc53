"""Render templates to HTML, and serve the static files.

All values are escaped. If a template uses a name that the page did not pass, rendering fails.

Browsers can cache each static file for a year. The path of each file contains a hash of all files. So every path
changes when a file changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authsec_server.audit.model import Recorded
from authsec_server.console import charts, formatting, guard, impact_text
from authsec_server.console.addresses import STATIC
from authsec_server.delegations.dry_run_impact import impact_as_json
from authsec_server.delegations.impact import Impact

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_COMMON_SHEETS = ("base", "frame", "forms", "surfaces", "tables", "code")


class Assets:
    """The files of the folder `static/`, loaded once when the server starts.

    The sheets of `static/css/` are one file, `console.css`: first the common sheets, then the others by name.
    """

    def __init__(self) -> None:
        folder = files("authsec_server.console") / "static"
        contents = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        sheets = {file.name.removesuffix(".css"): file.read_bytes() for file in (folder / "css").iterdir()}
        ordered = [*_COMMON_SHEETS, *sorted(sheets.keys() - set(_COMMON_SHEETS))]
        self._contents: Mapping[str, bytes] = contents | {"console.css": b"".join(sheets[name] for name in ordered)}
        # One hash for all files: scripts import each other by relative path, and must have the same version.
        self._version = sha256(b"".join(self._contents[name] for name in sorted(self._contents))).hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the path of the file. Raises `KeyError` if there is no such file."""
        self._contents[name]
        return f"{STATIC}{self._version}/{name}"

    def route(self) -> Route:
        """Return the route that serves the files."""

        async def asset(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self._contents:
                raise HTTPException(404)
            kept = request.path_params["version"] == self._version
            caching = {"Cache-Control": "public, max-age=31536000, immutable"} if kept else {}
            return Response(
                self._contents[name],
                headers={**guard.HEADERS, **caching},
                media_type=_TYPES[name.rpartition(".")[2]],
            )

        return Route(STATIC + "{version}/{name}", asset, methods=["GET"])


_CODE = re.compile("`([^`]+)`")
_COMMAND = re.compile("(`|: )authsec (?=[a-z])")


class Renderer:
    """The templates, with the filters and globals that all of them use."""

    def __init__(self, assets: Assets) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("authsec_server.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "duration": formatting.duration,
            "utc": formatting.utc,
            "plural": formatting.plural,
            "kind": formatting.kind,
            "platform": formatting.platform,
            "proof": formatting.proof,
            "tone": formatting.tone,
            "listed": formatting.listed,
            "cut_middle": formatting.cut_middle,
            "said": formatting.said,
            "shortened_note": formatting.shortened_note,
            "coded": _coded,
            "agents": _agents,
            "at_apis": _at_apis,
            "time": _time,
            "exact": _exact,
            "happened": _happened,
        }
        self._environment.globals |= {"asset": assets.url, "charts": charts}

    def html(self, template: str, **context: Any) -> str:
        """Render the template."""
        return self._environment.get_template(template).render(**context)


@jinja2.pass_context
def _time(context: jinja2.runtime.Context, instant: datetime | None, never: str = "never") -> Markup:
    """Format an instant relative to the current time. Hovering shows the exact time."""
    if instant is None:
        return Markup('<span class="faint">{}</span>').format(never)
    exact = formatting.utc(instant)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        instant.isoformat(), exact, escape(formatting.ago(instant, context["now"]))
    )


@jinja2.pass_context
def _exact(context: jinja2.runtime.Context, instant: datetime | None) -> Markup:
    """Format an instant to the minute, for a column where ages would look alike. Hovering shows the age."""
    if instant is None:
        return _time(context, None)
    exact = formatting.utc(instant)
    return Markup('<time datetime="{}" title="{}, {}" data-exact>{}</time>').format(
        instant.isoformat(), formatting.ago(instant, context["now"]), exact, exact[:16]
    )


@jinja2.pass_context
def _happened(context: jinja2.runtime.Context, recorded: Recorded) -> Markup:
    """Format the time of the event. The audit log counts some refusals per minute; for these, show the minute."""
    if not recorded.counted:
        return _time(context, recorded.event.at)
    at = recorded.event.at
    exact = f"within {at:%Y-%m-%d %H:%M} UTC, {formatting.plural(recorded.count, 'time')}"
    return Markup('<time datetime="{}" data-minute title="{}">{}</time>').format(
        at.isoformat(), exact, formatting.of_minute(at, context["now"])
    )


@jinja2.pass_context
def _agents(context: jinja2.runtime.Context, what: Impact) -> list[tuple[str, list[str]]]:
    """Return up to two groups of agents, each as a text and names: agents that stop, and agents that keep working."""
    return impact_text.agents(impact_as_json(what, context["now"]))


@jinja2.pass_context
def _at_apis(context: jinja2.runtime.Context, what: Impact) -> list[str]:
    """Return sentences that say which APIs learn of the revocation, and which do not."""
    return impact_text.at_apis(impact_as_json(what, context["now"]))


@jinja2.pass_context
def _coded(context: jinja2.runtime.Context, message: str) -> Markup:
    """Escape the message and mark text in backticks as code. Commands begin as on all pages: `uv run` in a clone."""
    own = _COMMAND.sub(rf"\1{context['visit'].program} ", message)
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(own))))  # noqa: S704 - escaped before
