"""What `app` hands to every HTTP room, and the one transaction a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server.db import Database, Tx
from authsec_server.failures import NotPermitted, Outdated
from authsec_server.principal import Act, Principal
from authsec_server.web.dry_run import Foreseen
from authsec_server.web.request_context import context_of

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Authenticator(Protocol):
    """Who stands behind an administrative request."""

    async def __call__(self, request: Request) -> Principal:
        """The principal; raises `Unauthenticated` when there is none."""

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Raise `Unauthenticated` unless the principal still stands, as this transaction sees it."""


class Insight(Protocol):
    """What the rooms above know of a change."""

    def foreseen(self, tx: Tx, act: Act) -> Foreseen:
        """What this transaction has done, just before it is undone."""

    def changed_fields(self, tx: Tx, outdated: Outdated) -> tuple[str, ...]:
        """What others changed since the revision that the caller had read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """The database, the clock, randomness, the way to learn who asks, and what a change means for whoever only asks.

    `count_refusal` has the journal hold that a principal may not do an operation.
    """

    database: Database
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    authenticate: Authenticator
    insight: Insight
    count_refusal: Callable[[Tx, Act, NotPermitted, str], None]

    async def act(self, request: Request) -> Act:
        """The act that this request is; raises `Unauthenticated` when nobody stands behind it."""
        principal = await self.authenticate(request)
        context = context_of(request.scope)
        return Act(
            principal=principal,
            now=self.now(),
            request_id=context.request_id,
            address=context.address,
            token_bytes=self.token_bytes,
        )

    async def refused(self, act: Act, why: NotPermitted, operation: str) -> None:
        """Record that the principal may not do this, before they are told; where that cannot be, in the log."""

        def count(tx: Tx) -> None:
            # By now the minute in which the request began may be over, and sealed.
            self.count_refusal(tx, replace(act, now=self.now()), why, operation)

        try:
            await run_in_threadpool(self.database.append, count)
        except Exception as error:  # noqa: BLE001 - nothing was done, so the answer is no, whatever becomes of the record
            log.error(
                "a refusal is not in the audit trail",
                request_id=act.request_id,
                operation=operation,
                by=f"{act.principal.kind} {act.principal.id}".rstrip(),
                error=type(error).__name__,
            )

    async def read(self, work: Callable[[Tx], T]) -> T:
        """`work` on one snapshot, in a thread."""
        return await run_in_threadpool(self.database.read, work)

    async def change(self, act: Act, work: Callable[[Tx, Act], T]) -> T:
        """`work` under the exclusive authority lock, in a thread, with the act as it is by then.

        A request can be begun and be finished much later: in between its admin key may have been revoked, and what it
        does must not be dated before what it comes after.
        """

        return await run_in_threadpool(self.database.change, lambda tx: self._confirmed(tx, act, work))

    async def rehearse(self, act: Act, work: Callable[[Tx, Act], T]) -> tuple[T, Foreseen]:
        """The same, undone again before it returns: nothing is left of it, and nobody is told."""

        def foreseen(tx: Tx) -> tuple[T, Foreseen]:
            return self._confirmed(tx, act, work), self.insight.foreseen(tx, act)

        return await run_in_threadpool(self.database.rehearse, foreseen)

    def _confirmed(self, tx: Tx, act: Act, work: Callable[[Tx, Act], T]) -> T:
        self.authenticate.confirm(tx, act.principal)
        try:
            return work(tx, replace(act, now=self.now()))
        except Outdated as outdated:
            if outdated.thing:  # else it is all that there is which has changed
                outdated.fields = self.insight.changed_fields(tx, outdated)
            raise
