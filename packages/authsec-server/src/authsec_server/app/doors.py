"""Every route of the authority, put together from the rooms."""

from __future__ import annotations

from functools import partial

from starlette.routing import BaseRoute

from authsec_server.app import operations
from authsec_server.app.names import NAMES
from authsec_server.app.wings import House
from authsec_server.attestation.trial import api as trial_api
from authsec_server.audit import api as audit_api
from authsec_server.audit.sealing import api as sealing_api
from authsec_server.clients import api as clients_api
from authsec_server.clients import enrolments_api, following
from authsec_server.clients import proofs_api as client_proofs_api
from authsec_server.clients import sources_api as client_sources_api
from authsec_server.console.rendering import Renderer
from authsec_server.console.routes import routes as console_routes
from authsec_server.console.site import Console
from authsec_server.console.static import Assets
from authsec_server.delegations import api as delegations_api
from authsec_server.delegations import grants_api, would_stop
from authsec_server.keys import api as keys_api
from authsec_server.revocations import api as revocations_api
from authsec_server.sources import api as sources_api
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens import events_api, introspection_api, revoking_api
from authsec_server.web import health


def routes(house: House) -> list[BaseRoute]:
    """All of them. What is only asked (`?dry_run=1`) comes before what would do it."""
    site, terms = house.site, house.terms
    return [
        *operations.routes(house),
        *would_stop.routes(site, terms, *grants_api.dry_runs(site, terms)),
        *health.routes(site, house.readiness),
        *_for_agents_and_apis(house),
        *_for_administrators(house),
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
    ]


def _for_administrators(house: House) -> list[BaseRoute]:
    site, settings, trust_domain = house.site, house.settings, house.settings.trust_domain
    return [
        *clients_api.routes(site, trust_domain=trust_domain),
        *client_proofs_api.routes(site, trust_domain=trust_domain),
        *sources_api.routes(
            site,
            house.trust.key_sets,
            house.trust.cluster_apis,
            issuer=settings.issuer,
            edit=partial(following.edit_source, trust_domain=trust_domain),
            disable=following.disable_source,
            enable=partial(following.enable_source, trust_domain=trust_domain),
        ),
        *client_sources_api.routes(site, trust_domain=trust_domain),
        *enrolments_api.routes(site, house.enrolling),
        *trial_api.routes(site, house.trust.trials),
        *delegations_api.routes(
            site, max_token_lifetime=settings.max_token_lifetime, default_audience=settings.default_audience
        ),
        *grants_api.routes(site, house.terms),
        *audit_api.routes(site, NAMES),
        *sealing_api.routes(site, house.keyring.journal_keys.published),
        *events_api.routes(site),  # after the words that stand beside the numbers of events
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
    )
