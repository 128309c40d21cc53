"""The composition root: settings in, the authority out. The only file that knows every room."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import anyio
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from authsec_server.accounts import api as accounts_api
from authsec_server.accounts import authenticate
from authsec_server.apis import api as apis_api
from authsec_server.attestation import service as attestation
from authsec_server.audit import api as audit_api
from authsec_server.audit import service as audit
from authsec_server.clients import api as clients_api
from authsec_server.db import Database, open_database
from authsec_server.delegations import api as delegations_api
from authsec_server.failures import Unavailable
from authsec_server.keys import api as keys_api
from authsec_server.keys import service as keys
from authsec_server.keys.master import load_master_key
from authsec_server.keys.signer import Signer
from authsec_server.principal import THE_SERVER, Act
from authsec_server.roles import api as roles_api
from authsec_server.settings import Settings, is_loopback
from authsec_server.tokens import api as tokens_api
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.model import Limits
from authsec_server.tokens.service import DelegationTokens
from authsec_server.web import health
from authsec_server.web.errors import HANDLERS
from authsec_server.web.health import Readiness
from authsec_server.web.middleware import Bounded, Contextualise, ExpectedHosts
from authsec_server.web.site import Site

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An open authority: its ASGI app, and what keeps it in order while it is served."""

    app: Starlette
    database: Database
    readiness: Readiness
    maintain: Callable[[], None]


@contextmanager
def open_authority(
    settings: Settings,
    *,
    local_operator: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Iterator[Authority]:
    """Open the database, bring schema and keys up to date, and assemble the rooms; close it all at the end.

    `local_operator`: every request is the operator's at this machine, as the command line calls it in process. Raises
    `StartupRefused` or `Unavailable` when it must not, or cannot, start.
    """
    issuer = settings.issuer
    database = open_database(settings.database_url)
    try:
        database.migrate()
        master_key = load_master_key(settings, database, token_bytes)
        signer = Signer(database, master_key)
        site = Site(
            database=database,
            now=now,
            token_bytes=token_bytes,
            authenticate=authenticate.local_operator
            if local_operator
            else authenticate.admin_keys(database, now=now, monotonic=monotonic),
        )
        custodian = keys.Custodian(
            database=database, signer=signer, master_key=master_key, settings=settings, token_bytes=token_bytes
        )

        def server_act() -> Act:
            return Act(principal=THE_SERVER, now=now(), request_id="", address="", token_bytes=token_bytes)

        def maintain() -> None:
            database.append(lambda tx: audit.prepare_months(tx, now()))
            database.append(lambda tx: attestation.forget_used(tx, now()))
            custodian.keep(server_act())

        maintain()
        tokens = DelegationTokens(
            database=database,
            signer=signer,
            limits=Limits(default_audience=settings.default_audience, max_token_lifetime=settings.max_token_lifetime),
            rates=TokenLimits(
                address=settings.address_limit,
                unproved=settings.unproved_limit,
                client=settings.client_limit,
                clock=monotonic,
            ),
            issuer=issuer,
            trust_domain=settings.trust_domain,
            now=now,
            token_bytes=token_bytes,
        )
        readiness = Readiness()
        app = _assemble(_routes(site, readiness, tokens, custodian, settings), settings, maintain, token_bytes)
        yield Authority(app=app, database=database, readiness=readiness, maintain=maintain)
    finally:
        database.close()


def _routes(
    site: Site, readiness: Readiness, tokens: DelegationTokens, settings: Settings, custodian: keys.Custodian
) -> list[BaseRoute]:
    return [
        *health.routes(site, readiness),
        *tokens_api.routes(tokens),
        *keys_api.routes(site, settings, custodian),
        *accounts_api.routes(site),
        *clients_api.routes(site, trust_domain=settings.trust_domain),
        *roles_api.routes(site),
        *apis_api.routes(site),
        *delegations_api.routes(site),
        *audit_api.routes(site),
    ]


def _assemble(
    routes: list[BaseRoute], settings: Settings, maintain: Callable[[], None], token_bytes: Callable[[int], bytes]
) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_in_order, maintain)
            yield
            tasks.cancel_scope.cancel()

    return Starlette(
        routes=routes,
        exception_handlers=HANDLERS,
        lifespan=lifespan,
        middleware=[
            Middleware(Contextualise, token_bytes=token_bytes, trusted_proxies=settings.trusted_proxies),
            Middleware(Bounded, at_most=settings.max_in_flight),
            Middleware(ExpectedHosts, hosts=_hosts(settings)),
        ],
    )


def _hosts(settings: Settings) -> set[str]:
    """The Host headers to answer: public_url's, those the settings add, and on loopback the loopback names."""
    hosts = {urlsplit(settings.issuer).hostname or "", *settings.allowed_hosts}
    return hosts | ({"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else set())


async def _keep_in_order(maintain: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(MAINTENANCE_SECONDS)
        try:
            await anyio.to_thread.run_sync(maintain)
        except Unavailable as failure:
            log.error("maintenance failed, will be tried again", message=failure.message)
