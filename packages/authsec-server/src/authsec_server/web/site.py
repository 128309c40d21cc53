"""What `app.py` hands to every HTTP room, and the one transaction a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from authsec_server.db import Database, Tx
from authsec_server.principal import Act, Principal
from authsec_server.web.context import context_of

T = TypeVar("T")
Authenticate = Callable[[Request], Awaitable[Principal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The database, the clock, randomness, and the way to learn who asks."""

    database: Database
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes]
    authenticate: Authenticate

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

    async def change(self, work: Callable[[Tx], T]) -> T:
        """`work` under the exclusive authority lock, in a thread."""
        return await run_in_threadpool(self.database.change, work)
