"""Liveness and readiness, for whatever starts and balances this server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.failures import Unavailable
from authsec_server.web.instants import rfc3339
from authsec_server.web.site import Site

LIVE, READY = "/healthz", "/readyz"


class Readiness:
    """Whether new requests should come here; a server that drains says no and still answers those that do."""

    def __init__(self) -> None:
        self.draining = False
        self.undelivered: Callable[[], datetime | None] = lambda: None  # since when heads of the journal are not taken
        self.older: Callable[[], str | None] = lambda: None  # why the database is older than its outside heads
        self.not_compared: Callable[[], str] = lambda: ""  # why it was not compared with them


def routes(site: Site, readiness: Readiness) -> list[Route]:
    """`/healthz`: the process runs. `/readyz`: it can do its work, database included."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        if readiness.draining:
            return JSONResponse({"status": "draining"}, 503)
        try:
            await run_in_threadpool(site.database.check)
        except Unavailable:
            return JSONResponse({"status": "database unavailable"}, 503)
        if older := readiness.older():
            return JSONResponse({"status": "database older than its outside heads", "details": older}, 503)
        since = readiness.undelivered()  # it serves as before: that is to be looked at, not to be taken out of service
        told = {"audit_heads_undelivered_since": rfc3339(since)} if since else {}
        told |= {"audit_heads_not_compared": why} if (why := readiness.not_compared()) else {}
        return JSONResponse({"status": "ready"} | told)

    return [Route(LIVE, healthz), Route(READY, readyz)]
