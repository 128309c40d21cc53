"""Combine the routes of all rooms and the OpenAPI document of the admin API.

`NAMES` looks up the agents, delegations and administrators that audit log filters name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import api as accounts_api
from authsec_server.accounts.lookup import find_principal
from authsec_server.accounts.model.admin_keys import KeyRefusal
from authsec_server.accounts.model.sessions import SignInRefusal
from authsec_server.accounts.oidc.identity import OpenIdRefusal
from authsec_server.apis import api
from authsec_server.apis.model import CredentialRefusal
from authsec_server.app.services import Services
from authsec_server.attestation.explain import api as trial_api
from authsec_server.audit import api as audit_api
from authsec_server.audit.api import Names
from authsec_server.audit.sealing import api as sealing_api
from authsec_server.clients import api as clients_api
from authsec_server.clients import bindings, bindings_api, enrolment_api
from authsec_server.clients import service as clients
from authsec_server.clients.enrolment import EnrolmentRefusal as EnrolmentReason
from authsec_server.configuration import api as configuration_api
from authsec_server.configuration.steps import Setting
from authsec_server.db import Tx
from authsec_server.delegations import api as delegations_api
from authsec_server.delegations import resolve, search, service
from authsec_server.failures import NotFound, NotPermitted
from authsec_server.issuers import api as issuers_api
from authsec_server.keys import api as keys_api
from authsec_server.revocations import api as revocations_api
from authsec_server.roles import api as roles_api
from authsec_server.sdk_wheels import SdkWheels
from authsec_server.sdk_wheels import api as sdk_wheels_api
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens import events_api, introspection, revocation, token_endpoint
from authsec_server.tokens.dpop import DpopNonces
from authsec_server.tokens.refusal import Reason as TokenReason
from authsec_server.web import health, openapi, security_txt
from authsec_server.web.oauth import authorization_route
from authsec_server.web.operations import AnyOperation, routes_of


def _client_id(tx: Tx, slug: str) -> str | None:
    found = clients.find(tx, slug)
    return found.id if found else None


def _delegation_ids(tx: Tx, id_or_slug: str) -> tuple[str, str] | None:
    try:
        found = resolve.stored(tx, id_or_slug)
    except NotFound:
        return None  # the caller reports it, or searches for a deleted delegation by id
    return found.id, found.client_id


_REASONS = (TokenReason, EnrolmentReason, CredentialRefusal, KeyRefusal, SignInRefusal, OpenIdRefusal)

AGENTS, ADMIN = "agents", "admin"  # surfaces in the settings

NAMES = Names(
    client=_client_id,
    delegation=_delegation_ids,
    person=find_principal,
    which_client=clients.which,
    which_delegation=resolve.which,
    reasons=frozenset(str(reason) for each in _REASONS for reason in each) | {NotPermitted.reason},
)


def routes(services: Services, *, pages: bool) -> list[BaseRoute]:
    """Return the routes of the surface in the settings. `pages` adds the routes of the console.

    Each route is in one of three groups: for agents and APIs, for administrators, or for both. All other addresses are
    unknown to the router, so nobody can see which of them another server has.
    """
    surface = services.settings.surface
    return [
        *(_for_agents_and_apis(services, pages=pages) if surface != ADMIN else ()),
        *_for_both(services),
        *(_for_administrators(services, pages=pages) if surface != AGENTS else ()),
    ]


def _for_both(services: Services) -> list[BaseRoute]:
    """Return the routes of probes and contacts, and of the keys for exports of the audit log."""
    return [
        *health.routes(services.readiness, services.liveness),
        *sealing_api.routes(services.authority_keys.sealing_keyring.published),
        *security_txt.routes(
            services.settings.security_contact, issuer=services.settings.issuer, now=services.runtime.now
        ),
    ]


def _for_administrators(services: Services, *, pages: bool) -> list[BaseRoute]:
    admin_api = admin_api_routes(services)
    if not pages:
        return admin_api
    # Imported here: a command without pages does not need the hundred modules of the console.
    from authsec_server.app.console_pages import console_routes

    return [*admin_api, *console_routes(services)]


def _for_agents_and_apis(services: Services, *, pages: bool) -> list[BaseRoute]:
    streams = services.streams
    return [
        *tokens_api.routes(services.tokens),  # first: the router tries the routes in this order
        authorization_route(services.settings.issuer, _authorization_page(services) if pages else None),
        *keys_api.routes(services.settings, services.authority_keys.key_ring),
        *introspection.routes(services.api_credentials, services.introspection),
        *revocations_api.routes(
            streams.feed,
            streams.live_feed,
            services.authority_keys.feed_keys.published,
            subscriber_tracker=streams.subscriber_tracker,
            recognise=services.api_credentials.audience,
            share=services.share,
        ),
        *revocation.routes(services.self_revocation),
        *token_endpoint.routes(
            services.tokens,
            services.trust.client_search,
            DpopNonces(issuer=services.settings.issuer, key=services.authority_keys.nonce_key),
            services.authority_keys.slug_key,
            needs_nonce=services.settings.dpop_nonce,
        ),
        *enrolment_api.routes(services.enrolling),
        *sdk_wheels_api.routes(SdkWheels(services.runtime.sdk_wheels(), issuer=services.settings.issuer)),
    ]


def _authorization_page(services: Services) -> Callable[[Request], Response] | None:
    """Return the page for browsers at the authorization endpoint. None on a server without a console."""
    if services.settings.surface == AGENTS:
        return None
    from authsec_server.app.console_pages import authorization_page

    return authorization_page(services)


def admin_api_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all operations, and the route of the OpenAPI document."""
    declared = operations(services)
    return [openapi.route(declared), *routes_of(services.site, declared)]


def operations(services: Services) -> list[AnyOperation]:
    """Return all operations of the admin API, in the order of the OpenAPI document."""
    authority_keys = services.authority_keys
    return [
        *_of_clients(services),
        *_of_issuers(services),
        *roles_api.operations(service.delete_role),
        *api.operations(),
        *delegations_api.operations(services.terms),
        *keys_api.operations(authority_keys.key_ring, authority_keys.feed_keys),
        *revocation.operations(services.own_tokens),
        *accounts_api.operations(console=services.settings.console_address),
        *audit_api.operations(NAMES),
        *sealing_api.operations(
            published=authority_keys.sealing_keyring.published,
            verifying=authority_keys.sealing_keyring.by_kid,
            state=services.checkpoint_delivery.state,
            older=lambda: services.comparison.problem,
            not_compared=services.comparison.why_not_compared,
        ),
        *keys_api.sealing_key_operations(authority_keys.sealing_keyring, issuer=services.settings.issuer),
        *keys_api.authority_operations(issuer=services.settings.issuer, console=services.settings.console_address),
        *events_api.operations(),  # after the fixed paths below `/audit/events/`, because `{event}` matches any word
        *configuration_api.operations(_setting(services), services.trust.cluster_apis),
    ]


def _setting(services: Services) -> Setting:
    return Setting(
        terms=services.terms,
        trust_domain=services.settings.trust_domain,
        may_look_up=services.trust.cluster_apis.possible,
    )


def _of_clients(services: Services) -> list[AnyOperation]:
    trust_domain = services.settings.trust_domain
    return [
        *clients_api.operations(
            trust_domain=trust_domain,
            delete=partial(service.delete_client, terms=services.terms),
            state_of=search.state_of,
        ),
        *enrolment_api.operations(),
    ]


def _of_issuers(services: Services) -> list[AnyOperation]:
    trust, issuer, trust_domain = services.trust, services.settings.issuer, services.settings.trust_domain
    return [
        *issuers_api.operations(
            trust.cluster_apis,
            trust.key_sets,
            issuer=issuer,
            edit=partial(bindings.edit_trusted_issuer, trust_domain=trust_domain),
            disable=bindings.disable_trusted_issuer,
            enable=partial(bindings.enable_trusted_issuer, trust_domain=trust_domain),
        ),
        *bindings_api.operations(trust_domain=trust_domain, issuer=issuer),
        *trial_api.operations(trust.token_explainer),
    ]
