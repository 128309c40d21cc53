"""The admin API, put together from the rooms: what each declares becomes routes and the OpenAPI document."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.app.wings import House
from authsec_server.delegations import removal
from authsec_server.roles import api as roles_api
from authsec_server.web import openapi
from authsec_server.web.operations import AnyOperation, routes_of


def routes(house: House) -> list[BaseRoute]:
    """Every operation's, and the document's."""
    declared = operations(house)
    return [openapi.route(declared), *routes_of(house.site, declared)]


def operations(house: House) -> list[AnyOperation]:  # noqa: ARG001 - the rooms that need something of it follow
    """All of them, in the order of the document."""
    return [
        *roles_api.operations(removal.delete_role),
    ]
