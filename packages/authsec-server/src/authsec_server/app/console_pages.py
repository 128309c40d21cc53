"""Build the routes of the console from the services."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.app.services import Services
from authsec_server.console import sign_in
from authsec_server.console.rendering import Assets, Renderer
from authsec_server.console.routes import routes
from authsec_server.console.site import Console
from authsec_server.sdk_wheels import SdkWheels


def console_routes(services: Services) -> list[BaseRoute]:
    """Return all routes of the console."""
    return routes(_console(services))


def authorization_page(services: Services) -> Callable[[Request], Response]:
    """Return the page for browsers at the authorization endpoint, which refuses every request."""
    return partial(sign_in.authorization_page, _console(services))


@cache
def _files() -> tuple[Assets, Renderer]:
    """Read the package's static files and compile its templates, once per process."""
    assets = Assets()
    return assets, Renderer(assets)


def _console(services: Services) -> Console:
    assets, renderer = _files()
    return Console(
        site=services.people.site,
        settings=services.settings,
        assets=assets,
        renderer=renderer,
        terms=services.terms,
        tokens=services.tokens,
        own_tokens=services.own_tokens,
        key_ring=services.authority_keys.key_ring,
        sign_in=services.people.sign_in,
        second_steps=services.people.second_steps,
        session_terms=services.people.sessions.terms,
        open_id=services.people.open_id,
        live=services.streams.audit_log,
        key_sets=services.trust.key_sets,
        cluster_apis=services.trust.cluster_apis,
        token_explainer=services.trust.token_explainer,
        sdk=SdkWheels(services.runtime.sdk_wheels(), issuer=services.settings.issuer),
        older=lambda: services.comparison.problem,
    )
