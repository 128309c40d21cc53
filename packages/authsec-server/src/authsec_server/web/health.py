"""The health endpoints: `/healthz` (liveness) and `/readyz` (readiness). Both endpoints answer from memory.

A separate probe writes to the database each second and reports the result (`app/readiness_probe.py`). The
endpoints use no database and no thread. With a database query, an endpoint would wait behind token requests,
and would hang if the database hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIVE, READY = "/healthz", "/readyz"
READY_STATUS: Final = "ready"
PATIENCE: Final = 10.0
"""Seconds without a successful probe until the server is unready. An `apply` holds the authority lock for up to 3
seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessProblem:
    """Why a server is not ready, or needs a restart: a stable status for programs, and a sentence for people."""

    status: str
    sentence: str


Check = Callable[[], ReadinessProblem | None]
DRAINING: Final = ReadinessProblem(status="draining", sentence="The server is shutting down.")
STARTING: Final = ReadinessProblem(status="starting", sentence="No probe of the database has succeeded yet.")
UNAVAILABLE: Final = "database_unavailable"
SILENT: Final = ReadinessProblem(
    status=UNAVAILABLE, sentence=f"No probe of the database has succeeded for {PATIENCE:.0f} seconds."
)


class Readiness:
    """The readiness of the server: whether a load balancer should send new requests to it.

    A server that shuts down is not ready, but still answers requests. While one of `checks` returns a problem,
    the server is not ready. Each of `notes` returns members that are added to the response of `/readyz`. The
    event loop calls the checks and the notes for every response, so they must not block.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.draining = False
        self.checks: list[Check] = []
        self.notes: list[Callable[[], Mapping[str, str]]] = []
        self._monotonic = monotonic
        self._succeeded_at: float | None = None
        self._failure: ReadinessProblem | None = None  # the newest failure since the last success

    def probe_succeeded(self) -> None:
        """Record that a probe of the database has just succeeded."""
        self._succeeded_at, self._failure = self._monotonic(), None

    def probe_failed(self, problem: ReadinessProblem) -> None:
        """Record that a probe of the database has just failed.

        The server stays ready for `PATIENCE` seconds after the last success.
        """
        self._failure = problem

    def problem(self) -> ReadinessProblem | None:
        """Return why the server is not ready, or None if it is ready."""
        if self.draining:
            return DRAINING
        return _first(self.checks) or self._unproved()

    def _unproved(self) -> ReadinessProblem | None:
        if self._succeeded_at is None:
            return self._failure or STARTING
        # Check the time of the last success, because a probe that hangs reports no failure.
        if self._monotonic() - self._succeeded_at < PATIENCE:
            return None
        return self._failure or SILENT


class Liveness:
    """The liveness of the server: whether the process needs a restart.

    Each of `checks` returns None, or a problem that only a restart fixes.
    """

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def problem(self) -> ReadinessProblem | None:
        """Return why the process needs a restart, or None if it works."""
        return _first(self.checks)


def routes(readiness: Readiness, liveness: Liveness) -> list[Route]:
    """Return the routes `/healthz` (the process works) and `/readyz` (the server can issue tokens now)."""

    async def healthz(_request: Request) -> Response:
        return _answer("ok", liveness.problem(), {})

    async def readyz(_request: Request) -> Response:
        notes = {name: text for note in readiness.notes for name, text in note().items()}
        return _answer(READY_STATUS, readiness.problem(), notes)

    return [Route(LIVE, healthz), Route(READY, readyz)]


def _answer(well: str, problem: ReadinessProblem | None, notes: Mapping[str, str]) -> Response:
    if problem is None:
        return JSONResponse({"status": well, **notes})
    return JSONResponse({"status": problem.status, "problem": problem.sentence, **notes}, 503)


def _first(checks: list[Check]) -> ReadinessProblem | None:
    return next((problem for check in checks if (problem := check()) is not None), None)
