"""Every route of the authority, put together from the rooms."""

from __future__ import annotations

from starlette.routing import BaseRoute

from authsec_server.app import operations
from authsec_server.app.wings import House
from authsec_server.audit.sealing import api as sealing_api
from authsec_server.clients import enrolments_api
from authsec_server.console.rendering import Renderer
from authsec_server.console.routes import routes as console_routes
from authsec_server.console.site import Console
from authsec_server.console.static import Assets
from authsec_server.keys import api as keys_api
from authsec_server.revocations import api as revocations_api
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens import introspection_api, oauth_api, revoking_api
from authsec_server.web import health


def routes(house: House) -> list[BaseRoute]:
    """All of them."""
    return [
        *operations.routes(house),
        *health.routes(house.readiness, house.liveness),
        *_for_agents_and_apis(house),
        *console_routes(_console(house)),
    ]


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
        *revoking_api.routes(house.giving_up),
        *oauth_api.routes(
            issuer=house.settings.issuer,
            address_limit=house.settings.address_limit,
            monotonic=house.around.monotonic,
        ),
        *enrolments_api.routes(house.enrolling),
        *sealing_api.routes(house.keyring.journal_keys.published),
    ]


def _console(house: House) -> Console:
    assets = Assets()
    return Console(
        site=house.people.site,
        settings=house.settings,
        assets=assets,
        renderer=Renderer(assets),
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
