"""The composition root: settings in, the authority out. The only file that knows every room."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import Lifespan

from authsec_server.accounts import administrators_api, authenticate, links
from authsec_server.accounts import api as accounts_api
from authsec_server.accounts.cookies import Sessions, cookie_name
from authsec_server.accounts.model import SessionTerms
from authsec_server.accounts.oidc import sign_in_of
from authsec_server.accounts.sign_in import SignIn
from authsec_server.apis import api as apis_api
from authsec_server.apis import credentials_api
from authsec_server.apis.proving import ApiCredentials
from authsec_server.attestation import service as attestation
from authsec_server.attestation.clusters import Clusters
from authsec_server.attestation.trial import api as trial_api
from authsec_server.attestation.trial.service import Trials
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit import api as audit_api
from authsec_server.audit import service as audit
from authsec_server.audit.live import LiveJournal
from authsec_server.audit.rollup import roll_up
from authsec_server.clients import api as clients_api
from authsec_server.clients import enrolments, enrolments_api, following
from authsec_server.clients import proofs_api as client_proofs_api
from authsec_server.clients import sources_api as client_sources_api
from authsec_server.clients.enrolling import Enrolling
from authsec_server.console import static
from authsec_server.console.activity import stream as activity_stream
from authsec_server.console.rendering import Renderer
from authsec_server.console.routes import routes as console_routes
from authsec_server.console.site import Console
from authsec_server.console.static import Assets
from authsec_server.db import Database, open_database
from authsec_server.db.served import last_issuer
from authsec_server.delegations import api as delegations_api
from authsec_server.delegations import grants_api, tokens_out, would_stop
from authsec_server.delegations.model import Terms
from authsec_server.keys import api as keys_api
from authsec_server.keys.custodian import Custodian
from authsec_server.keys.feed import FeedKeys
from authsec_server.keys.master import load_master_key
from authsec_server.keys.signer import Signer
from authsec_server.outbound import Outbound, outbound_of
from authsec_server.principal import THE_SERVER, Act
from authsec_server.revocations import api as revocations_api
from authsec_server.revocations import service as revocations
from authsec_server.revocations.followers import service as followers
from authsec_server.revocations.followers.noting import Noting
from authsec_server.revocations.heads import Feed
from authsec_server.revocations.live import LiveFeed
from authsec_server.roles import api as roles_api
from authsec_server.settings import Settings, is_loopback
from authsec_server.sources import api as sources_api
from authsec_server.sources.cluster_apis import ClusterApis
from authsec_server.sources.key_sets import KeySets
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens import introspection_api, revoking_api
from authsec_server.tokens.giving_up import GivingUp
from authsec_server.tokens.introspection import Introspection
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.model import Limits
from authsec_server.tokens.ours import OwnTokens
from authsec_server.tokens.service import DelegationTokens
from authsec_server.web import health
from authsec_server.web.errors import HANDLERS, where
from authsec_server.web.health import Readiness
from authsec_server.web.limits import Limiter
from authsec_server.web.middleware import Bounded, Contextualise, ExpectedHosts
from authsec_server.web.site import Site

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 60
PROBES = (health.LIVE, health.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time and randomness. Nothing below this file reads a clock or rolls a die by itself."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An open authority: the ASGI app to serve, and the parts that others need to reach in process."""

    app: Starlette
    issuer: str
    database: Database
    tokens: DelegationTokens
    readiness: Readiness
    sign_in: SignIn
    outbound: Outbound
    feed: Feed


@contextmanager
def open_authority(
    settings: Settings, *, local_operator: bool = False, surroundings: Surroundings | None = None
) -> Iterator[Authority]:
    """Open the database, bring schema and keys up to date and assemble the rooms; close it all at the end.

    `local_operator`: every request is the operator's at this machine, as the command line calls it in process; its
    addresses are those of the server of this data. Raises `StartupRefused` or `Unavailable` when it must not, or
    cannot, start.
    """
    if not local_operator:
        settings.issuer  # noqa: B018 - refuses before anything is touched
    database = open_database(settings.database_url)
    try:
        database.migrate()
        if local_operator:
            settings = as_served(settings, database)
        yield _compose(settings, settings.issuer, database, local_operator, surroundings or Surroundings())
    finally:
        database.close()


def as_served(settings: Settings, database: Database) -> Settings:
    """The settings with the issuer that the server of this data last started with, unless they name one.

    Where this process would listen says nothing: it is another one that people and agents reach.
    """
    if settings.public_url or not (issuer := database.read(last_issuer)):
        return settings
    return settings.model_copy(update={"public_url": issuer})


def _compose(
    settings: Settings, issuer: str, database: Database, local_operator: bool, around: Surroundings
) -> Authority:
    master_key = load_master_key(settings, database, around.token_bytes)
    signer = Signer(database, master_key)
    custodian = Custodian(
        database=database, signer=signer, master_key=master_key, settings=settings, token_bytes=around.token_bytes
    )
    sessions = _sessions(settings, issuer, database, around)
    feed_keys = FeedKeys(
        database,
        master_key,
        max_age=timedelta(seconds=settings.signing_key_max_age),
        token_bytes=around.token_bytes,
    )
    feed = Feed(database=database, issuer=issuer, signing_key=feed_keys.signing_key, now=around.now)
    maintain = _maintenance(database, custodian, feed_keys, sessions, around)
    maintain()
    admin_keys = authenticate.AdminKeys(database, now=around.now, monotonic=around.monotonic)
    site = Site(
        database=database,
        now=around.now,
        token_bytes=around.token_bytes,
        authenticate=authenticate.LocalOperator() if local_operator else admin_keys,
    )
    people = site if local_operator else replace(site, authenticate=sessions)
    sign_in = SignIn(database, now=around.now, monotonic=around.monotonic, token_bytes=around.token_bytes)
    outbound = outbound_of(settings, around.monotonic)
    open_id = sign_in_of(settings, outbound, now=around.now, monotonic=around.monotonic, token_bytes=around.token_bytes)
    key_sets = KeySets(database, outbound, now=around.now, monotonic=around.monotonic)
    cluster_apis = ClusterApis(
        outbound, credentials_dir=settings.credentials_dir, now=around.now, monotonic=around.monotonic
    )
    clusters = Clusters(cluster_apis, seconds=settings.lookup_seconds, monotonic=around.monotonic)
    workloads = Workloads(key_sets.find, issuer=issuer, trust_domain=settings.trust_domain, clusters=clusters)
    tokens = _tokens(settings, issuer, database, signer, workloads, around)
    ours = OwnTokens(issuer=issuer, keys=custodian.verification_keys)
    giving_up = GivingUp(
        database=database,
        tokens=ours,
        rate=Limiter(settings.address_limit),
        now=around.now,
        monotonic=around.monotonic,
    )
    enrolling = Enrolling(
        database, issuer=issuer, now=around.now, monotonic=around.monotonic, token_bytes=around.token_bytes
    )
    trials = Trials(
        database,
        key_sets.find,
        clusters=Clusters(cluster_apis, seconds=0, monotonic=around.monotonic),  # asked anew each time, and not kept
        issuer=issuer,
        trust_domain=settings.trust_domain,
        monotonic=around.monotonic,
    )
    terms = Terms(max_token_lifetime=settings.max_token_lifetime, default_audience=settings.default_audience)
    readiness = Readiness()
    live = LiveJournal(database, now=around.now, ending=lambda: readiness.draining)
    live_feed = LiveFeed(feed, ending=lambda: readiness.draining)
    api_credentials = ApiCredentials(database, now=around.now, monotonic=around.monotonic)
    noting = Noting(
        database, known=partial(tokens_out.audiences, default_audience=settings.default_audience), now=around.now
    )
    app = Starlette(
        routes=[
            *would_stop.routes(site, terms, *grants_api.dry_runs(site, terms), revoking_api.dry_run(site, ours)),
            *_routes(site, settings, custodian, feed_keys, tokens, enrolling, key_sets, cluster_apis, readiness),
            *trial_api.routes(site, trials),
            *grants_api.routes(site, terms),
            *revoking_api.routes(site, giving_up),
            *introspection_api.routes(
                api_credentials,
                Introspection(database=database, ours=ours, now=around.now),
            ),
            *revocations_api.routes(
                feed, live_feed, feed_keys.published, noting=noting, recognise=api_credentials.audience
            ),
            *console_routes(
                Console(
                    site=people,
                    settings=settings,
                    assets=(assets := Assets()),
                    renderer=Renderer(assets),
                    terms=terms,
                    tokens=tokens,
                    ours=ours,
                    custodian=custodian,
                    sign_in=sign_in,
                    session_terms=sessions.terms,
                    open_id=open_id,
                    live=live,
                    key_sets=key_sets,
                    cluster_apis=cluster_apis,
                    trials=trials,
                )
            ),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan(maintain, live.run, live_feed.run, noting.run),
        middleware=[
            Middleware(
                Contextualise,
                token_bytes=around.token_bytes,
                trusted_proxies=settings.trusted_proxies,
                quiet=(*PROBES, static.PATH),
            ),
            # Those who follow the feed stay for hours, in places of their own: agents need theirs.
            Middleware(Bounded, at_most=settings.max_in_flight, always=(*PROBES, revocations_api.PATH)),
            Middleware(ExpectedHosts, hosts=_hosts(settings), anywhere=PROBES),
        ],
    )
    return Authority(
        app=app,
        issuer=issuer,
        database=database,
        tokens=tokens,
        readiness=readiness,
        sign_in=sign_in,
        outbound=outbound,
        feed=feed,
    )


def _sessions(settings: Settings, issuer: str, database: Database, around: Surroundings) -> Sessions:
    terms = SessionTerms(
        idle=timedelta(seconds=settings.session_idle), lifetime=timedelta(seconds=settings.session_lifetime)
    )
    return Sessions(database, name=cookie_name(issuer), terms=terms, now=around.now, unattended={activity_stream.PATH})


def _tokens(
    settings: Settings, issuer: str, database: Database, signer: Signer, workloads: Workloads, around: Surroundings
) -> DelegationTokens:
    return DelegationTokens(
        database=database,
        signer=signer,
        workloads=workloads,
        limits=Limits(default_audience=settings.default_audience, max_token_lifetime=settings.max_token_lifetime),
        rates=TokenLimits(
            address=settings.address_limit,
            unproved=settings.unproved_limit,
            client=settings.client_limit,
            clock=around.monotonic,
        ),
        issuer=issuer,
        trust_domain=settings.trust_domain,
        now=around.now,
        token_bytes=around.token_bytes,
    )


def _routes(
    site: Site,
    settings: Settings,
    custodian: Custodian,
    feed_keys: FeedKeys,
    tokens: DelegationTokens,
    enrolling: Enrolling,
    key_sets: KeySets,
    cluster_apis: ClusterApis,
    readiness: Readiness,
) -> list[BaseRoute]:
    return [
        *health.routes(site, readiness),
        *tokens_api.routes(tokens),
        *keys_api.routes(site, settings, custodian, feed_keys),
        *accounts_api.routes(site),
        *administrators_api.routes(site, issuer=settings.issuer),
        *clients_api.routes(site, trust_domain=settings.trust_domain),
        *client_proofs_api.routes(site, trust_domain=settings.trust_domain),
        *sources_api.routes(
            site,
            key_sets,
            cluster_apis,
            issuer=settings.issuer,
            edit=partial(following.edit_source, trust_domain=settings.trust_domain),
            disable=following.disable_source,
            enable=partial(following.enable_source, trust_domain=settings.trust_domain),
        ),
        *client_sources_api.routes(site, trust_domain=settings.trust_domain),
        *enrolments_api.routes(site, enrolling),
        *roles_api.routes(site),
        *apis_api.routes(site),
        *credentials_api.routes(site),
        *delegations_api.routes(
            site, max_token_lifetime=settings.max_token_lifetime, default_audience=settings.default_audience
        ),
        *audit_api.routes(site),
    ]


def _hosts(settings: Settings) -> set[str]:
    """The Host headers to answer: public_url's, those the settings add, and on loopback the loopback names."""
    hosts = {urlsplit(settings.issuer).hostname or "", *settings.allowed_hosts}
    return hosts | ({"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else set())


def _maintenance(
    database: Database, custodian: Custodian, feed_keys: FeedKeys, sessions: Sessions, around: Surroundings
) -> Callable[[], None]:
    def maintain() -> None:
        now = around.now()
        act = Act(principal=THE_SERVER, now=now, request_id="", address="", token_bytes=around.token_bytes)
        database.append(lambda tx: audit.prepare_months(tx, now))
        database.append(lambda tx: attestation.forget_used(tx, now))
        database.append(sessions.keep)
        database.append(lambda tx: links.forget(tx, now))
        database.append(lambda tx: enrolments.forget(tx, now))
        database.append(lambda tx: revocations.forget(tx, now))
        database.append(lambda tx: followers.forget(tx, now))
        custodian.keep(act)
        feed_keys.keep(now)
        roll_up(database, now)

    return maintain


def lifespan(maintain: Callable[[], None], *followers: Callable[[], Coroutine[Any, Any, None]]) -> Lifespan[Starlette]:
    """Keeps the authority in order, once a minute, and follows its journal and feed, for as long as it is served."""

    @asynccontextmanager
    async def while_served(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_in_order, maintain)
            for follow in followers:
                tasks.start_soon(follow)
            yield
            tasks.cancel_scope.cancel()

    return while_served


async def _keep_in_order(maintain: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(MAINTENANCE_SECONDS)
        try:
            await anyio.to_thread.run_sync(maintain)
        except Exception as error:  # noqa: BLE001 - whatever it was, keys must rotate and partitions be made next minute
            log.error("maintenance failed and will be tried again", error=type(error).__name__, where=where(error))
