"""Open an authority, run its maintenance once a minute while it serves, and close it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Lifespan

from authsec_server.accounts import links
from authsec_server.accounts.admin_keys import bootstrap_key
from authsec_server.accounts.model.admin_keys import AdminKey
from authsec_server.accounts.sign_in import SignIn
from authsec_server.app.measured_ages import measure_ages
from authsec_server.app.older_database import compare, may_be_read, watch
from authsec_server.app.opentelemetry import recorder
from authsec_server.app.retention_task import RetentionTask, retention_of
from authsec_server.app.routes import ADMIN, routes
from authsec_server.app.runtime import Runtime
from authsec_server.app.served_address import as_served_or_not_proved, checkpoints_as_served
from authsec_server.app.services import Services, checkpoints_of, services_of
from authsec_server.attestation import service as attestation
from authsec_server.audit import service as audit
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.outside import Comparison, comparison_of
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.clients import enrolment_service
from authsec_server.console.addresses import STATIC
from authsec_server.db import Database, Tx, open_database
from authsec_server.db.served import NOT_PROVED, last_checkpoints_file, remember_checkpoints_file, remember_issuer
from authsec_server.failures import Unavailable
from authsec_server.keys import api as keys_api
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.outbound import Outbound, outbound_of
from authsec_server.principal import THE_SERVER, Act
from authsec_server.private_files import check_data
from authsec_server.revocations import api as revocations_api
from authsec_server.revocations import service as revocations
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.feed import Feed
from authsec_server.settings import Settings, is_loopback
from authsec_server.tokens.direct import DirectTokens
from authsec_server.tokens.issue import DelegationTokens
from authsec_server.tokens.request import PATH
from authsec_server.web import health
from authsec_server.web.errors import HANDLERS, where
from authsec_server.web.health import Liveness, Readiness
from authsec_server.web.middleware import (
    Bounded,
    ConcurrencyLimit,
    Contextualise,
    ExpectedHosts,
    RefuseWhileOlder,
    is_one_of,
)
from authsec_server.web.oauth_errors import TOKEN_PATH
from authsec_server.web.request_context import new_context
from authsec_server.web.slow_readers import SlowReaders
from authsec_server.web.traces import SpanRecorder, Traced

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 60


def maintenance(services: Services, *, serves: bool) -> Callable[[], None]:
    """Return one function that runs all periodic maintenance. The function blocks its thread.

    A command does not serve and only renews the keys, because the other steps can wait for a server. The steps use
    the earlier time of two clocks: this machine's and PostgreSQL's. A clock that is ahead would delete used assertions
    and revocations that other servers need.
    """
    database, runtime, keys = services.database, services.runtime, services.authority_keys

    def forget(tx: Tx, now: datetime, version: int) -> None:
        attestation.forget_used(tx, now)
        services.people.sessions.keep(tx)
        links.forget(tx, now)
        enrolment_service.forget(tx, now)
        revocations.forget(tx, now, version=version)
        followers.forget(tx, now)

    def forget_all(now: datetime) -> None:
        by_kid = keys.sealing_keyring.by_kid()
        version = database.read(lambda tx: sealing.version_at(tx, by_kid, now - revocations.MATTERS_FOR))
        database.append(lambda tx: forget(tx, now, version))

    def republish(now: datetime) -> None:
        if database.read(lambda tx: revocations.old_keys(tx, now)):  # rarely true; `change` delays token requests
            database.change(lambda tx: revocations.republish(tx, now))

    def maintain() -> None:
        now = min(runtime.now(), database.time() or runtime.now())
        act = Act(principal=THE_SERVER, now=now, request_id="", address="", token_bytes=runtime.token_bytes)
        renew = (
            lambda: keys.key_ring.keep(act),
            lambda: keys.feed_keys.keep(now),
            lambda: keys.sealing_keyring.keep(now),
        )
        if serves:
            log_errors(
                lambda: database.append(lambda tx: audit.prepare_months(tx, now)),
                lambda: republish(now),
                lambda: forget_all(now),
                lambda: roll_up(database, now),
            )
        run_all(*renew)

    return maintain


def run_all(*steps: Callable[[], object]) -> None:
    """Run all steps, even if some of them fail. Raise the first error, and log the others."""
    errors = _errors(steps)
    for other in errors[1:]:
        _log(other)
    if errors:
        raise errors[0]


def log_errors(*steps: Callable[[], object]) -> None:
    """Run all steps, and log the errors. The attack: somebody damages a row by raw SQL to stop all servers."""
    for error in _errors(steps):
        _log(error)


def _errors(steps: Sequence[Callable[[], object]]) -> list[Exception]:
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the other steps must run after any error
            errors.append(error)
    return errors


def _log(error: Exception) -> None:
    log.error("maintenance failed and will be retried", error=type(error).__name__, where=where(error))


def lifespan(
    maintain: Callable[[], None],
    *followers: Callable[[], Coroutine[Any, Any, None]],
    is_older: Callable[[], bool] = lambda: False,
) -> Lifespan[Starlette]:
    """Return a lifespan that runs the maintenance and all `followers` while the server serves.

    `followers` include the sealer of the audit log and the readers of the audit log and the revocation feed.
    `is_older` returns true while the database is older than its outside checkpoints. No maintenance runs during
    that time.
    """

    @asynccontextmanager
    async def while_served(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_in_order, maintain, is_older)
            for follow in followers:
                tasks.start_soon(follow)
            yield
            tasks.cancel_scope.cancel()

    return while_served


async def _keep_in_order(maintain: Callable[[], None], is_older: Callable[[], bool]) -> None:
    while True:
        await anyio.sleep(MAINTENANCE_SECONDS)
        if is_older():
            continue
        try:
            await anyio.to_thread.run_sync(maintain)
        except Exception as error:  # noqa: BLE001 - maintenance must run again after any error
            _log(error)


PROBES = (health.LIVE, health.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An open authority: the ASGI app, and the objects that other code in this process needs.

    `direct` is None on a server without the token endpoints. `bootstrap` is the admin key in the bootstrap key file of
    the settings, even if the key is revoked or expired.
    """

    app: Starlette
    direct: DirectTokens | None
    slow_readers: SlowReaders
    issuer: str
    database: Database
    tokens: DelegationTokens
    readiness: Readiness
    liveness: Liveness
    sign_in: SignIn
    outbound: Outbound
    feed: Feed
    dropper: Dropper
    sealing_keyring: SealingKeys
    comparison: Comparison
    bootstrap: AdminKey | None
    issuer_key: bytes = field(repr=False)

    def remember_issuer(self, issuer: str = "") -> None:
        """Save the issuer of this server, or this one, for commands. Raises `Unavailable`."""
        self.database.append(lambda tx: remember_issuer(tx, issuer or self.issuer, self.issuer_key))


@contextmanager
def open_authority(
    settings: Settings, *, local_operator: bool = False, pages: bool = True, runtime: Runtime | None = None
) -> Iterator[Authority]:
    """Open the database, prepare the schema, maintain the keys and assemble the app. Close everything at the end.

    With `local_operator`, the command line calls the app in process, and every request comes from the operator
    on this machine. The issuer is then the issuer of the server that serves this data, or `NOT_PROVED`. Without
    `pages` there is no console.

    Raises `StartupRefused` or `Unavailable` if the authority must not start, or cannot start.
    """
    if not local_operator:
        settings.issuer  # noqa: B018 - raises before anything is touched
        if settings.sqlite_file is not None:
            check_data(settings.sqlite_file)
    traces = recorder() if settings.traces and not local_operator else None
    database = open_database(settings.database_url, connections=settings.database_connections)
    try:
        if local_operator:
            database.prepare(serves=False)
            # A command has every operation, whatever addresses the server of this environment has.
            settings = as_served_or_not_proved(settings, database).model_copy(update={"surface": "all"})
            comparison = comparison_of(checkpoints_as_served(settings, database), database)
            comparison.read_file()
        else:
            comparison = comparison_of(settings.audit_checkpoints, database)
            comparison.read_file()  # before the migration: another server may write to the file and the database
            database.prepare(serves=True)
            is_left_out = comparison.note_left_out(database.read(last_checkpoints_file))
        services = services_of(settings, database, comparison, local_operator, runtime or Runtime())
        if local_operator:
            if settings.public_url in {"", NOT_PROVED}:
                comparison.issuer = None
            _compare_for_command(comparison)
        else:
            compare(comparison)
            if not comparison.problem and not is_left_out:
                database.append(lambda tx: remember_checkpoints_file(tx, comparison.path))
            database.begin_serving()  # last: a plain copy of the SQLite file then contains all earlier writes
        with closing(services.tokens):
            yield _assembled(services, serves=not local_operator, pages=pages, traces=traces)
    finally:
        database.close()
        if traces is not None:
            traces.close()


def _compare_for_command(comparison: Comparison) -> None:
    """Compare the database with its outside checkpoints, so that a command can report a problem.

    If the file of the sealing key is not available, the comparison is skipped and the reason is stored.
    """
    try:
        comparison.problem = comparison.compare()
    except Unavailable as failure:
        comparison.not_compared = failure.message.removesuffix(".")


def refuse_to_serve(settings: Settings) -> None:
    """Raise `StartupRefused` for errors in the settings, before the server creates anything."""
    runtime = Runtime()
    settings.issuer  # noqa: B018 - raises for an invalid issuer
    checkpoints_of(settings, outbound_of(settings, runtime.monotonic), runtime).check()


def _bootstrap_key(services: Services) -> AdminKey | None:
    runtime = services.runtime
    act = Act(principal=THE_SERVER, now=runtime.now(), request_id="", address="", token_bytes=runtime.token_bytes)
    return bootstrap_key(services.settings, services.database, act)


def _assembled(services: Services, *, serves: bool, pages: bool, traces: SpanRecorder | None) -> Authority:
    maintain = maintenance(services, serves=serves)
    bootstrap = None
    if not services.comparison.problem:
        maintain()
        bootstrap = _bootstrap_key(services) if serves else None  # after `maintain`, which makes room in the audit log
        if serves:
            services.probe.attempt()  # so that `/readyz` reports the right state from the start
    at_once = services.share.of(services.settings.max_in_flight)
    limit = ConcurrencyLimit(at_once)
    retention = RetentionTask(
        settings=services.settings,
        retention=retention_of(services.settings, services.database, services.dropper, services.runtime.now),
        now=services.runtime.now,
        is_paused=lambda: services.comparison.problem is not None,
    )
    services.readiness.notes.append(retention.notes)
    app = Starlette(
        routes=routes(services, pages=pages),
        exception_handlers=HANDLERS,
        lifespan=lifespan(
            maintain,
            services.probe.run,
            services.sealer.run,
            services.checkpoint_delivery.run,
            services.streams.audit_log.run,
            services.streams.live_feed.run,
            services.streams.subscriber_tracker.run,
            services.request_log.outages.run,
            watch(services, maintain),
            retention.run,
            partial(
                measure_ages,
                services.database,
                key_max_age=services.settings.signing_key_max_age,
                now=services.runtime.now,
            ),
            is_older=lambda: services.comparison.problem is not None,
        ),
        middleware=_middleware(services, limit, traces),
    )
    app.router.redirect_slashes = False  # behind a TLS proxy, the redirect would send secrets over plain HTTP
    return Authority(
        app=app,
        direct=None if services.settings.surface == ADMIN else _direct(services, limit, is_traced=traces is not None),
        slow_readers=SlowReaders(at_once),
        issuer=services.settings.issuer,
        database=services.database,
        tokens=services.tokens,
        readiness=services.readiness,
        liveness=services.liveness,
        sign_in=services.people.sign_in,
        outbound=services.trust.outbound,
        feed=services.streams.feed,
        dropper=services.dropper,
        sealing_keyring=services.authority_keys.sealing_keyring,
        comparison=services.comparison,
        bootstrap=bootstrap,
        issuer_key=services.authority_keys.issuer_key,
    )


def _direct(services: Services, limit: ConcurrencyLimit, *, is_traced: bool) -> DirectTokens:
    settings, runtime, comparison = services.settings, services.runtime, services.comparison
    hosts = _hosts(settings)
    return DirectTokens(
        services.tokens,
        admits=lambda host: not comparison.problem and is_one_of(hosts, host),
        new_context=lambda scope: new_context(scope, runtime.now(), runtime.token_bytes, settings.trusted_proxies),
        limit=limit,
        request_log=services.request_log,
        is_traced=is_traced,
    )


def _middleware(services: Services, limit: ConcurrencyLimit, traces: SpanRecorder | None) -> list[Middleware]:
    settings = services.settings
    return [
        Middleware(
            Contextualise,
            now=services.runtime.now,
            token_bytes=services.runtime.token_bytes,
            trusted_proxies=settings.trusted_proxies,
            request_log=services.request_log,
            quiet=(*PROBES, STATIC),
        ),
        *([] if traces is None else [Middleware(Traced, recorder=traces, paths=(PATH, TOKEN_PATH))]),
        # Subscribers of the feed stay for hours and have their own limit. Metadata is never refused: a client without
        # the metadata may send its secret to an API.
        Middleware(
            Bounded,
            limit=limit,
            always=(*PROBES, revocations_api.PATH, *keys_api.METADATA_ADDRESSES),
        ),
        Middleware(RefuseWhileOlder, why=lambda: services.comparison.problem, reading=may_be_read),
        Middleware(ExpectedHosts, hosts=_hosts(settings), anywhere=PROBES),
    ]


def _hosts(settings: Settings) -> frozenset[str]:
    """Return the accepted hosts of Host headers, in lower case: those of the issuer, the console and the settings.

    A server that listens on loopback also accepts the loopback names.
    """
    ours = (settings.issuer, settings.console_address)
    hosts = {*(urlsplit(url).hostname or "" for url in ours), *settings.allowed_hosts}
    hosts |= {"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else set()
    return frozenset(host.lower() for host in hosts)
