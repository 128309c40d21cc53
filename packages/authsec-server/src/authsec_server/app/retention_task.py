"""The scheduled retention while a server serves: look once a minute, and run in a process of its own.

A run verifies the whole audit log, which takes minutes of processor time. In the server's process, token requests
would wait for it. A process can also be ended when the server ends: a drop that was interrupted is finished by the
next run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import anyio
import anyio.to_thread
import structlog

from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.retention_run import RetentionRun, end_run, read_state
from authsec_server.audit.sealing.scheduled_retention import ScheduledRetention
from authsec_server.db import Database
from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import RETENTION_FAILED
from authsec_server.settings import Settings
from authsec_server.web.errors import where

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 60.0
PROGRAM: Final = "authsec_server.app.retention_process"
_CRASHED: Final = "The process of the retention ended before its end: read the server's log."


def retention_of(
    settings: Settings, database: Database, dropper: Dropper, now: Callable[[], datetime]
) -> ScheduledRetention | None:
    """Return the retention that the settings ask for; None if they keep all events."""
    if not settings.audit_retention_days or settings.audit_export_folder is None:
        return None
    return ScheduledRetention(
        database=database,
        dropper=dropper,
        folder=settings.audit_export_folder,
        days=settings.audit_retention_days,
        now=now,
    )


@dataclass(slots=True, kw_only=True)
class RetentionTask:
    """Runs the retention of one server, if the settings ask for one. While `is_paused` returns true, no run begins."""

    settings: Settings
    retention: ScheduledRetention | None
    now: Callable[[], datetime]
    is_paused: Callable[[], bool]
    problem: str = field(default="", init=False)

    def notes(self) -> Mapping[str, str]:
        """Return a note for `/readyz` if the last run failed. The server still issues tokens."""
        return {"audit_retention": self.problem} if self.problem else {}

    async def run(self) -> None:
        """Look for a due run once a minute, until cancelled."""
        if self.retention is None:
            return
        while True:
            try:
                if not self.is_paused() and await anyio.to_thread.run_sync(self._claim):
                    await self._run()
                self._tell(await anyio.to_thread.run_sync(self._last))
            except Unavailable:
                log.debug("the retention of the audit log waits for the database")
            except Exception as error:  # noqa: BLE001 - the next look must follow any error
                log.error("the retention of the audit log failed", error=type(error).__name__, where=where(error))
            await anyio.sleep(LOOK_SECONDS)

    def _claim(self) -> bool:
        its, now = self.retention, self.now()
        assert its is not None  # `run` has returned otherwise
        now = min(now, its.database.time() or now)
        return its.database.read(read_state).is_due(now) and its.claim(now)

    async def _run(self) -> None:
        """Run the program of a run. Save that the run failed if the program ends without a result."""
        settings = self.settings.model_copy(update={"public_url": self.settings.issuer})
        command = [sys.executable, "-m", PROGRAM]
        try:
            async with await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None) as process:
                try:
                    assert process.stdin is not None  # both are pipes
                    assert process.stdout is not None
                    await process.stdin.send(settings.model_dump_json().encode())
                    await process.stdin.aclose()
                    async for _ in process.stdout:
                        pass
                    status = await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):  # no process, or one that ended at once
            status = -1
        if status:
            await anyio.to_thread.run_sync(self._save_crash)

    def _save_crash(self) -> None:
        assert self.retention is not None
        crashed = RetentionRun(outcome="failed", problem=_CRASHED)
        self.retention.database.append(lambda tx: end_run(tx, crashed, self.now()))

    def _last(self) -> RetentionRun:
        assert self.retention is not None
        return self.retention.database.read(read_state).last

    def _tell(self, last: RetentionRun) -> None:
        RETENTION_FAILED.of().set(last.outcome == "failed")
        if last.problem and last.problem != self.problem:
            log.error("old events of the audit log were not dropped", problem=last.problem)
        elif self.problem and not last.problem:
            log.info("the retention of the audit log works again")
        self.problem = last.problem
