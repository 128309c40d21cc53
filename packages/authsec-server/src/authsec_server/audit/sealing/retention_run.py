"""The one row about the scheduled retention: who runs it now, what the last run did, and when the next one is.

Nothing depends on this row but the time of the next run and what the operator reads. Raw SQL can change it. A drop
trusts the export and the seals only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.db import Tx
from authsec_server.db.schema import Instant, metadata

LEASE: Final = timedelta(hours=2)  # after that, another server may begin: the first one has crashed, or is very slow
AGAIN: Final = timedelta(hours=24)
AGAIN_AFTER_A_PROBLEM: Final = timedelta(hours=6)
TOLERANCE: Final = timedelta(hours=1)  # far above the difference of two clocks
LONGEST_PROBLEM: Final = 500  # characters

retention_run = Table(
    "retention_run",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("busy_until", Instant),
    Column("next_at", Instant),
    Column("began_at", Instant),
    Column("ended_at", Instant),
    Column("outcome", String(10), nullable=False),  # see `RetentionRun`
    Column("month", String(7), nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("export", Text, nullable=False),
    Column("export_sha256", String(64), nullable=False),
    Column("problem", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRun:
    """What one run did. `outcome` is `dropped`, `nothing` or `failed`; empty before the first run has ended.

    The run dropped `events` events of the months before `month`, which the file `export` contains. `problem` says why
    it failed.
    """

    outcome: str = ""
    month: str = ""
    events: int = 0
    export: str = ""
    export_sha256: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionState:
    """The last run, when it began and ended, until when a server is busy with the next one, and when that is due."""

    last: RetentionRun
    began_at: datetime | None = None
    ended_at: datetime | None = None
    busy_until: datetime | None = None
    next_at: datetime | None = None

    def is_busy(self, now: datetime) -> bool:
        """Whether a server runs the retention now.

        The attack: raw SQL puts the next run off for years. No server writes such a time.
        """
        return self.busy_until is not None and now < self.busy_until <= now + LEASE + TOLERANCE

    def is_due(self, now: datetime) -> bool:
        """Whether a run may begin now."""
        is_early = self.next_at is not None and now < self.next_at <= now + AGAIN + TOLERANCE
        return not is_early and not self.is_busy(now)


def read_state(tx: Tx) -> RetentionState:
    """Return the state of the retention."""
    row = tx.connection.execute(select(retention_run).where(retention_run.c.id == 1)).one_or_none()
    if row is None:
        return RetentionState(last=RetentionRun())
    its = row._asdict()
    return RetentionState(
        last=RetentionRun(**{name: its[name] for name in RetentionRun.__slots__}),
        began_at=row.began_at,
        ended_at=row.ended_at,
        busy_until=row.busy_until,
        next_at=row.next_at,
    )


def claim_run(tx: Tx, now: datetime, *, is_forced: bool = False) -> bool:
    """Begin a run, unless a server is busy with one or, without `is_forced`, none is due. Return whether it may run.

    Of several servers, one begins.
    """
    upsert = postgresql_insert if tx.connection.dialect.name == "postgresql" else sqlite_insert
    empty = upsert(retention_run).values(id=1, **asdict(RetentionRun()))
    tx.connection.execute(empty.on_conflict_do_nothing(index_elements=["id"]))
    tx.connection.execute(select(retention_run.c.id).with_for_update())  # another server waits here
    state = read_state(tx)
    if state.is_busy(now) or not (is_forced or state.is_due(now)):
        return False
    its = update(retention_run).where(retention_run.c.id == 1)
    tx.connection.execute(its.values(busy_until=now + LEASE, began_at=now))
    return True


def end_run(tx: Tx, run: RetentionRun, now: datetime) -> None:
    """Save what the run did, and when the next one is due."""
    wait = AGAIN_AFTER_A_PROBLEM if run.outcome == "failed" else AGAIN
    values = {**asdict(run), "problem": run.problem[:LONGEST_PROBLEM]}
    ended = update(retention_run).where(retention_run.c.id == 1)
    tx.connection.execute(ended.values(**values, ended_at=now, busy_until=None, next_at=now + wait))
