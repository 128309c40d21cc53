"""Health endpoints: `/healthz` (liveness) and `/readyz` (readiness). Both answer from memory: no database, no thread.

A probe that writes to the database each second says how that went (`app/readiness_probe.py`). An answer that asked the
database itself would wait in the same queue as token requests, and for a database that hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIVE, READY = "/healthz", "/readyz"
PATIENCE: Final = 10.0
"""Seconds without a successful probe until the server is unready. An `apply` holds the authority lock for up to 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessProblem:
    """Why a server is not ready, or not alive: a stable status for programs, and a sentence for people."""

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
    """Whether new requests should come here; a server that drains says no and still answers those that do.

    Each of `checks` makes the server unready at once while it returns a problem. Each of `notes` adds members to the
    answer and changes nothing else. Both are called for every answer, in the event loop: they must not block.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.draining = False
        self.checks: list[Check] = []
        self.notes: list[Callable[[], Mapping[str, str]]] = []
        self._monotonic = monotonic
        self._succeeded_at: float | None = None
        self._failure: ReadinessProblem | None = None  # of the probes since the last success

    def probe_succeeded(self) -> None:
        """A probe of the database has just succeeded."""
        self._succeeded_at, self._failure = self._monotonic(), None

    def probe_failed(self, problem: ReadinessProblem) -> None:
        """A probe of the database has just failed. The server stays ready for `PATIENCE` seconds after a success."""
        self._failure = problem

    def problem(self) -> ReadinessProblem | None:
        """Why the server is not ready; None while it is."""
        if self.draining:
            return DRAINING
        return _first(self.checks) or self._unproved()

    def _unproved(self) -> ReadinessProblem | None:
        if self._succeeded_at is None:
            return self._failure or STARTING
        # The age of the last success decides: a probe that hangs reports no failure.
        if self._monotonic() - self._succeeded_at < PATIENCE:
            return None
        return self._failure or SILENT


class Liveness:
    """Whether this process should be restarted. Each of `checks` returns a problem that only a restart mends."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def problem(self) -> ReadinessProblem | None:
        """Why the process should be restarted; None while it works."""
        return _first(self.checks)


def routes(readiness: Readiness, liveness: Liveness) -> list[Route]:
    """`/healthz`: the process works. `/readyz`: it can issue tokens now."""

    async def healthz(_request: Request) -> Response:
        return _answer("ok", liveness.problem(), {})

    async def readyz(_request: Request) -> Response:
        notes = {name: text for note in readiness.notes for name, text in note().items()}
        return _answer("ready", readiness.problem(), notes)

    return [Route(LIVE, healthz), Route(READY, readyz)]


def _answer(well: str, problem: ReadinessProblem | None, notes: Mapping[str, str]) -> Response:
    if problem is None:
        return JSONResponse({"status": well, **notes})
    return JSONResponse({"status": problem.status, "problem": problem.sentence, **notes}, 503)


def _first(checks: list[Check]) -> ReadinessProblem | None:
    return next((problem for check in checks if (problem := check()) is not None), None)
