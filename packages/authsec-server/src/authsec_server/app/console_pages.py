"""The console's routes, over what the rooms are given."""

from __future__ import annotations

from functools import cache

from starlette.routing import BaseRoute

from authsec_server.app.services import Services
from authsec_server.console.rendering import Renderer
from authsec_server.console.routes import routes
from authsec_server.console.site import Console
from authsec_server.console.static import Assets


def console_routes(house: Services) -> list[BaseRoute]:
    """All of the console's."""
    return routes(_console(house))


@cache
def _files() -> tuple[Assets, Renderer]:
    """The package's files and templates: read, and compiled, once in a process."""
    assets = Assets()
    return assets, Renderer(assets)


def _console(house: Services) -> Console:
    assets, renderer = _files()
    return Console(
        site=house.people.site,
        settings=house.settings,
        assets=assets,
        renderer=renderer,
        terms=house.terms,
        tokens=house.tokens,
        ours=house.ours,
        custodian=house.keyring.custodian,
        sign_in=house.people.sign_in,
        session_terms=house.people.sessions.terms,
        open_id=house.people.open_id,
        live=house.told.journal,
        key_sets=house.trust.key_sets,
        cluster_apis=house.trust.cluster_apis,
        trials=house.trust.trials,
        older=lambda: house.comparison.problem,
    )
