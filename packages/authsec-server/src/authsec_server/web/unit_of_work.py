"""The database access of the rooms with HTTP: one transaction per request. `app` passes the access to the rooms."""

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
    """An authenticator of administrative requests."""

    async def __call__(self, request: Request) -> Principal:
        """Return the principal of the request. Raises `Unauthenticated` if the request has no valid principal."""

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Raise `Unauthenticated` if the principal is not valid any more in this transaction."""


class ImpactSource(Protocol):
    """Computes the impact of changes. `delegations` implements this protocol, because `web` must not import it."""

    def foreseen(self, tx: Tx, act: Act) -> Foreseen:
        """Return the impact of the changes in this transaction. The caller then undoes the transaction."""

    def changed_fields(self, tx: Tx, outdated: Outdated) -> tuple[str, ...]:
        """Return the fields that others have changed since the caller read the entity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """A runner of database transactions for requests, with the clock, the randomness and the `authenticate` function.

    `impact` returns the impact of changes. `count_refusal` records in the audit log that a principal was not
    permitted to use an operation. `complete` runs at the end of each change, in the same transaction: it makes the
    signing keys that a changed API needs.
    """

    database: Database
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    authenticate: Authenticator
    impact: ImpactSource
    count_refusal: Callable[[Tx, Act, NotPermitted, str], None]
    complete: Callable[[Tx, Act], None]

    async def act(self, request: Request) -> Act:
        """Authenticate the request and return its `Act`: the principal, the time and the request's id.

        Raises `Unauthenticated` without a valid principal.
        """
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
        """Record the refusal in the audit log, before the caller gets the response.

        If the audit log cannot record the refusal, write the error to the server's log and raise nothing.
        """

        def count(tx: Tx) -> None:
            # The current time: the minute of the request's start may be sealed already.
            self.count_refusal(tx, replace(act, now=self.now()), why, operation)

        try:
            await run_in_threadpool(self.database.append, count)
        except Exception as error:  # noqa: BLE001 - the caller is refused even if the record fails
            log.error(
                "a refusal could not be recorded in the audit log",
                request_id=act.request_id,
                operation=operation,
                by=f"{act.principal.kind} {act.principal.id}".rstrip(),
                error=type(error).__name__,
            )

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run the function `work` on one snapshot of the database, in a thread."""
        return await run_in_threadpool(self.database.read, work)

    async def change(self, act: Act, work: Callable[[Tx, Act], T]) -> T:
        """Run the function `work` in a thread, under the exclusive authority lock.

        A request may wait a long time for the lock. Two steps therefore happen after the wait:

        - The method confirms the principal again, because the admin key may have been revoked. Raises
          `Unauthenticated`.
        - The `Act` gets the current time, so that no change has an earlier time than the change before it.
        """

        return await run_in_threadpool(self.database.change, lambda tx: self._confirmed(tx, act, work))

    async def rehearse(self, act: Act, work: Callable[[Tx, Act], T]) -> tuple[T, Foreseen]:
        """Run the function `work` as `change` does, then undo its changes. Return the result of `work` and the impact.

        No change remains in the database, and nobody is notified.
        """

        def foreseen(tx: Tx) -> tuple[T, Foreseen]:
            return self._confirmed(tx, act, work), self.impact.foreseen(tx, act)

        return await run_in_threadpool(self.database.rehearse, foreseen)

    def _confirmed(self, tx: Tx, act: Act, work: Callable[[Tx, Act], T]) -> T:
        self.authenticate.confirm(tx, act.principal)
        current = replace(act, now=self.now())
        try:
            done = work(tx, current)
            self.complete(tx, current)
            return done
        except Outdated as outdated:
            if outdated.thing:  # empty if the whole configuration is outdated
                outdated.fields = self.impact.changed_fields(tx, outdated)
            raise
