"""The admin API, put together from the rooms: what each declares becomes routes and the OpenAPI document."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.accounts import administrators_api
from authsec_server.accounts import api as admin_keys_api
from authsec_server.apis import api as apis_api
from authsec_server.apis import credentials_api
from authsec_server.app.wings import House
from authsec_server.configuration import api as configuration_api
from authsec_server.configuration.steps import Setting
from authsec_server.delegations import removal
from authsec_server.keys import api as keys_api
from authsec_server.roles import api as roles_api
from authsec_server.tokens import revoking_api
from authsec_server.web import openapi
from authsec_server.web.operations import AnyOperation, routes_of


def routes(house: House) -> list[BaseRoute]:
    """Every operation's, and the document's."""
    declared = operations(house)
    return [openapi.route(declared), *routes_of(house.site, declared)]


def operations(house: House) -> list[AnyOperation]:
    """All of them, in the order of the document."""
    keyring = house.keyring
    return [
        *roles_api.operations(removal.delete_role),
        *apis_api.operations(),
        *credentials_api.operations(),
        *keys_api.operations(keyring.custodian, keyring.feed_keys),
        *revoking_api.operations(house.ours),
        *administrators_api.operations(issuer=house.settings.issuer),
        *admin_keys_api.operations(),
        *configuration_api.operations(_setting(house), house.trust.cluster_apis),
    ]


def _setting(house: House) -> Setting:
    return Setting(
        terms=house.terms,
        trust_domain=house.settings.trust_domain,
        may_look_up=house.trust.cluster_apis.possible,
    )
