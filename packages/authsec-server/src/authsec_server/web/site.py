"""What `app` hands to every HTTP room, and the one transaction a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server.db import Database, Tx
from authsec_server.principal import Act, Principal
from authsec_server.web.context import context_of

T = TypeVar("T")


class Authenticator(Protocol):
    """Who stands behind an administrative request."""

    async def __call__(self, request: Request) -> Principal:
        """The principal; raises `Unauthenticated` when there is none."""

    def confirm(self, tx: Tx, principal: Principal) -> None:
        """Raise `Unauthenticated` unless the principal still stands, as this transaction sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The database, the clock, randomness, and the way to learn who asks."""

    database: Database
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    authenticate: Authenticator

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

    async def read(self, work: Callable[[Tx], T]) -> T:
        """`work` on one snapshot, in a thread."""
        return await run_in_threadpool(self.database.read, work)

    async def change(self, act: Act, work: Callable[[Tx, Act], T]) -> T:
        """`work` under the exclusive authority lock, in a thread, with the act as it is by then.

        A request can be begun and be finished much later: in between its admin key may have been revoked, and what it
        does must not be dated before what it comes after.
        """

        def confirmed(tx: Tx) -> T:
            self.authenticate.confirm(tx, act.principal)
            return work(tx, replace(act, now=self.now()))

        return await run_in_threadpool(self.database.change, confirmed)
