"""What keeps an authority in order: once when it opens, then once a minute for as long as it is served.

The journal is sealed by servers only, each second: a command that opens the data for one call leaves it to them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog
from starlette.applications import Starlette
from starlette.types import Lifespan

from authsec_server.accounts import links
from authsec_server.app.wings import House
from authsec_server.attestation import service as attestation
from authsec_server.audit import service as audit
from authsec_server.audit.rollup import roll_up
from authsec_server.clients import enrolment_service
from authsec_server.principal import THE_SERVER, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.followers import service as followers
from authsec_server.web.errors import where

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 60


def maintenance(house: House) -> Callable[[], None]:
    """All that is due now and then, as one call. It blocks its thread."""
    database, around = house.database, house.around

    def maintain() -> None:
        now = around.now()
        act = Act(principal=THE_SERVER, now=now, request_id="", address="", token_bytes=around.token_bytes)
        database.append(lambda tx: audit.prepare_months(tx, now))
        database.append(lambda tx: attestation.forget_used(tx, now))
        database.append(house.people.sessions.keep)
        database.append(lambda tx: links.forget(tx, now))
        database.append(lambda tx: enrolment_service.forget(tx, now))
        if database.read(lambda tx: revocations.old_keys(tx, now)):  # seldom, and agents wait for the lock
            database.change(lambda tx: revocations.say_again(tx, now))
        database.append(lambda tx: revocations.forget(tx, now))
        database.append(lambda tx: followers.forget(tx, now))
        house.keyring.custodian.keep(act)
        house.keyring.feed_keys.keep(now)
        house.keyring.journal_keys.keep(now)
        roll_up(database, now)

    return maintain


def lifespan(
    maintain: Callable[[], None],
    *followers: Callable[[], Coroutine[Any, Any, None]],
    withheld: Callable[[], bool] = lambda: False,
) -> Lifespan[Starlette]:
    """Keeps the authority in order, seals its journal and follows it and its feed, for as long as it is served.

    Nothing is maintained while it is `withheld`: the database is older than its outside heads.
    """

    @asynccontextmanager
    async def while_served(_app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_in_order, maintain, withheld)
            for follow in followers:
                tasks.start_soon(follow)
            yield
            tasks.cancel_scope.cancel()

    return while_served


async def _keep_in_order(maintain: Callable[[], None], withheld: Callable[[], bool]) -> None:
    while True:
        await anyio.sleep(MAINTENANCE_SECONDS)
        if withheld():
            continue
        try:
            await anyio.to_thread.run_sync(maintain)
        except Exception as error:  # noqa: BLE001 - whatever it was, keys must rotate and partitions be made next minute
            log.error("maintenance failed and will be tried again", error=type(error).__name__, where=where(error))
