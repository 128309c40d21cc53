"""The readiness probe: once a second, in a separate thread, it checks that the server can record a token.

The probe takes the authority lock in shared mode, as a token request does. The probe commits a durable
write and compares clocks. The probe does not try the exclusive lock, because token requests would wait
behind each attempt. The shared mode is enough to detect that another process blocks the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final

import anyio
import anyio.to_thread
import structlog

from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.outside import Comparison
from authsec_server.audit.sealing.sinks import CheckpointDelivery
from authsec_server.db import Database, Tx
from authsec_server.db.durable_write import write_durably
from authsec_server.failures import Fault, Unavailable
from authsec_server.metrics.catalogue import LIVE, PROBES, PROCESS, READY, WORKERS
from authsec_server.web.errors import where
from authsec_server.web.health import READY_STATUS, UNAVAILABLE, Liveness, Readiness, ReadinessProblem
from authsec_server.web.instants import rfc3339

log = structlog.get_logger(__name__)

SECONDS: Final = 1.0
END_SECONDS: Final = 1.0
CLOCK_TOLERANCE: Final = timedelta(seconds=30)
WORKERS_STUCK: Final = 300.0
"""Seconds that work may wait for a worker thread before the process needs a restart. A slow database cannot cause this
wait: its calls end far sooner, even if all other concurrent requests (`max_in_flight`) get a thread first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The times that the probe compares.

    `before` and `after` are this server's times before and after it read the database's time. `last_checkpoint`
    is the time of the last signed checkpoint.
    """

    before: datetime
    after: datetime
    database: datetime | None
    last_checkpoint: datetime | None


class ReadinessProbe:
    """A probe of the database that reports to `readiness`. Adds checks to `liveness` for failures that need a restart.

    `is_older` returns true while the database is older than its outside checkpoints. The probe then writes nothing
    to the database, but still checks whether another program overwrote the SQLite file.
    """

    def __init__(
        self,
        database: Database,
        readiness: Readiness,
        liveness: Liveness,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        is_older: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._is_older = is_older
        self._readiness = readiness
        self._liveness = liveness
        self._now = now
        self._monotonic = monotonic
        self._wrong_clock: ReadinessProblem | None = None
        self._clocks: Clocks | None = None  # of the last successful probe
        self._thread: Thread | None = None
        self._ending = Event()
        self._waiting_since: float | None = None  # since when work waits for a worker thread
        self._told: ReadinessProblem | None = None
        self._counted = ""  # the status in the metrics
        readiness.checks.insert(0, self._damage)  # first, because an overwritten file may also be older
        readiness.checks.append(lambda: self._wrong_clock)
        readiness.notes.append(lambda: sealing_stopped(self._clocks))
        liveness.checks += [self._ended_thread, self._stuck_workers]

    def attempt(self) -> None:
        """Probe once. Blocks the thread while the database blocks."""
        PROBES.of("succeeded" if self._attempt() else "failed").add()

    def _attempt(self) -> bool:
        try:
            self._database.look_at_file()
            clocks = self._database.record(self._proved)
        except Unavailable as failure:
            self._readiness.probe_failed(_problem(failure))
        except Exception as error:  # noqa: BLE001 - any error means that no token can be recorded
            log.error("the readiness probe failed", error=type(error).__name__, where=where(error))
            self._readiness.probe_failed(ReadinessProblem(status=UNAVAILABLE, sentence="The database cannot write."))
        else:
            self._clocks = clocks
            self._wrong_clock = wrong_clock(clocks)
            self._readiness.probe_succeeded()
            return True
        return False

    async def run(self) -> None:
        """Probe until this task is cancelled, and log each change of the result."""
        self._ending.clear()
        self._thread = Thread(target=self._probe_on, name="authsec-readiness-probe", daemon=True)
        self._thread.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._try_workers)
                while True:
                    self._tell()
                    await anyio.sleep(SECONDS)
        finally:
            self._ending.set()
            self._thread.join(END_SECONDS)  # with a timeout: the database may block the thread
            self._thread = None

    def _probe_on(self) -> None:
        while not self._ending.is_set():
            if self._is_older():
                self._database.look_at_file()
            else:
                self.attempt()
            self._ending.wait(SECONDS)

    async def _try_workers(self) -> None:
        while True:
            self._waiting_since = self._monotonic()
            await anyio.to_thread.run_sync(_nothing)
            self._waiting_since = None
            await anyio.sleep(SECONDS)

    def _proved(self, tx: Tx) -> Clocks:
        before = self._now()
        database = write_durably(tx)
        after = self._now()
        return Clocks(before=before, after=after, database=database, last_checkpoint=sealing.last_checkpoint_at(tx))

    def _tell(self) -> None:
        problem = self._readiness.problem()
        self._count(problem)
        if problem == self._told:
            return
        if problem is None:
            log.info("the server is ready")
        else:
            log.warning("the server is not ready", status=problem.status, problem=problem.sentence)
        self._told = problem

    def _count(self, problem: ReadinessProblem | None) -> None:
        PROCESS.memory.beat(int(self._now().timestamp() * 1000))
        READY.of().set(problem is None)
        LIVE.of().set(self._liveness.problem() is None)
        status = READY_STATUS if problem is None else problem.status
        if status != self._counted:
            if self._counted:
                WORKERS.of(self._counted).set(0)
            WORKERS.of(status).set(1)
            self._counted = status

    def _damage(self) -> ReadinessProblem | None:
        if not (reason := self._database.damaged):
            return None
        return ReadinessProblem(
            status=Fault.DAMAGED,
            sentence=f"The database file is damaged: {reason}. Stop the server, restore a backup, then start it again.",
        )

    def _ended_thread(self) -> ReadinessProblem | None:
        if self._database.has_stopped():
            return ReadinessProblem(
                status="writer_stopped", sentence="The thread that writes to the database has stopped."
            )
        if self._thread is not None and not self._thread.is_alive():
            return ReadinessProblem(status="probe_stopped", sentence="The thread that probes the database has stopped.")
        return None

    def _stuck_workers(self) -> ReadinessProblem | None:
        since = self._waiting_since
        if since is None or self._monotonic() - since < WORKERS_STUCK:
            return None
        return ReadinessProblem(
            status="workers_stuck", sentence=f"No worker thread has become free for {WORKERS_STUCK:.0f} seconds."
        )


def _problem(failure: Unavailable) -> ReadinessProblem:
    status = UNAVAILABLE if failure.fault is Fault.UNKNOWN else failure.fault
    return ReadinessProblem(status=status, sentence=failure.message)


def wrong_clock(clocks: Clocks) -> ReadinessProblem | None:
    """Return a problem if this server's clock is unsafe for timestamps. A difference of up to 30 seconds is allowed."""
    if clocks.last_checkpoint is not None and clocks.last_checkpoint - clocks.after > CLOCK_TOLERANCE:
        behind = clocks.last_checkpoint - clocks.after
        return _wrong(f"{_rounded(behind)} behind the last signed checkpoint of the audit log")
    if clocks.database is not None and clocks.before - clocks.database > CLOCK_TOLERANCE:
        return _wrong(f"{_rounded(clocks.before - clocks.database)} ahead of the database's clock")
    if clocks.database is not None and clocks.database - clocks.after > CLOCK_TOLERANCE:
        return _wrong(f"{_rounded(clocks.database - clocks.after)} behind the database's clock")
    return None


def sealing_time(before: datetime, after: datetime, database: datetime) -> datetime | None:
    """Return the time at which the sealer may sign a checkpoint; None if this server's clock is wrong.

    The time is never after the database's. `before` and `after` are this server's times before and after it read the
    database's time.
    """
    clocks = Clocks(before=before, after=after, database=database, last_checkpoint=None)
    return min(before, database) if wrong_clock(clocks) is None else None


def sealing_stopped(clocks: Clocks | None) -> Mapping[str, str]:
    """Return a note for `/readyz` if no checkpoint was signed for too long. A running server signs one each minute.

    Another process may hold the lock of the sealer. This is only a note: the server still issues tokens,
    because agents did not cause the problem.
    """
    if (
        clocks is None
        or clocks.last_checkpoint is None
        or clocks.after - clocks.last_checkpoint <= sealing.OVERDUE_AFTER
    ):
        return {}
    waited = _rounded(clocks.after - clocks.last_checkpoint)
    return {"sealing": f"No checkpoint was signed for {waited}. Read the server's log, and run: authsec audit verify"}


def undelivered(checkpoint_delivery: CheckpointDelivery) -> dict[str, str]:
    """Return a note for `/readyz` if checkpoints are not delivered. The server still issues tokens."""
    since = checkpoint_delivery.state().undelivered_since
    return {} if since is None else {"audit_checkpoints_undelivered_since": rfc3339(since)}


def not_compared(comparison: Comparison) -> dict[str, str]:
    """Return a note for `/readyz` with the reason why the database was not compared with its outside checkpoints."""
    return {"audit_checkpoints_not_compared": comparison.not_compared} if comparison.not_compared else {}


def older(comparison: Comparison) -> ReadinessProblem | None:
    """Return a problem if the database is older than its outside checkpoints.

    The server then issues no tokens until an operator records the restore.
    """
    return ReadinessProblem(status="database_older", sentence=comparison.problem) if comparison.problem else None


def _wrong(difference: str) -> ReadinessProblem:
    return ReadinessProblem(
        status="clock_wrong", sentence=f"This server's clock is {difference}. Synchronise the clocks."
    )


def _rounded(difference: timedelta) -> timedelta:
    return timedelta(seconds=round(difference.total_seconds()))


def _nothing() -> None:
    """Do nothing. A call in a worker thread shows that a worker thread is free."""
