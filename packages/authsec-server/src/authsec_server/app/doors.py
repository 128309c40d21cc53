"""Every route of the authority, put together from the rooms."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.app import operations
from authsec_server.app.wings import House
from authsec_server.audit.sealing import api as sealing_api
from authsec_server.clients import enrolment_api
from authsec_server.keys import api as keys_api
from authsec_server.revocations import api as revocations_api
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens import introspection_api, oauth_api, revocation_api
from authsec_server.web import health


def routes(house: House, *, pages: bool) -> list[BaseRoute]:
    """All of them; the console's, if there are to be `pages`."""
    for_programs = [
        *operations.routes(house),
        *health.routes(house.readiness, house.liveness),
        *_for_agents_and_apis(house),
    ]
    if not pages:
        return for_programs
    from authsec_server.app.pages import console_routes  # a command has no use for its hundred modules

    return [*for_programs, *console_routes(house)]


def _for_agents_and_apis(house: House) -> list[BaseRoute]:
    told = house.told
    return [
        *keys_api.routes(house.settings, house.keyring.custodian),
        *tokens_api.routes(house.tokens),
        *introspection_api.routes(house.api_credentials, house.introspection),
        *revocations_api.routes(
            told.feed,
            told.live_feed,
            house.keyring.feed_keys.published,
            noting=told.noting,
            recognise=house.api_credentials.audience,
        ),
        *revocation_api.routes(house.giving_up),
        *oauth_api.routes(
            issuer=house.settings.issuer,
            address_limit=house.settings.address_limit,
            monotonic=house.around.monotonic,
        ),
        *enrolment_api.routes(house.enrolling),
        *sealing_api.routes(house.keyring.journal_keys.published),
    ]
