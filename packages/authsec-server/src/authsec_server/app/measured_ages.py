"""Read from the database what the metrics say about its age: the audit log and the signing keys.

`/metrics` itself reads no database. While the database does not answer, the last times stay, so the ages grow.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import structlog

from authsec_server.audit.sealing import service as sealing
from authsec_server.db import Database, Tx
from authsec_server.db.migrate import revision_of
from authsec_server.failures import Unavailable
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm, KeyState
from authsec_server.metrics.catalogue import BUILD, CHECKPOINT_AGE, KEY_AGE, KEY_MAX_AGE, UNSEALED_AGE
from authsec_server.web.errors import where

log = structlog.get_logger(__name__)
T = TypeVar("T")

SECONDS: Final = 5.0  # between two readings


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTimes:
    """The times that one reading found. `unsealed` is None if every event has its seal."""

    unsealed: datetime | None
    checkpoint: datetime | None
    activated: Mapping[Algorithm, datetime]


async def measure_ages(database: Database, *, key_max_age: int, now: Callable[[], datetime]) -> None:
    """Set the metrics every few seconds, until cancelled. `key_max_age` is in seconds."""
    KEY_MAX_AGE.of().set(key_max_age)
    thread = anyio.CapacityLimiter(1)  # a reserved thread: token requests may occupy all others
    is_told = False
    while True:
        try:
            if not is_told:
                BUILD.of(*await _in(thread, partial(database.read, _versions))).set(1)
                is_told = True
            _set(await _in(thread, partial(database.read, partial(_times, now=now()))))
        except Unavailable:
            log.debug("the ages of the audit log and of the keys could not be read")
        except Exception as error:  # noqa: BLE001 - raw SQL may have damaged a row; the other tasks must go on
            log.warning("the ages for metrics could not be read", error=type(error).__name__, where=where(error))
        await anyio.sleep(SECONDS)


async def _in(thread: anyio.CapacityLimiter, work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work, limiter=thread, abandon_on_cancel=True)


def _times(tx: Tx, *, now: datetime) -> MeasuredTimes:
    return MeasuredTimes(
        unsealed=sealing.oldest_unsealed_at(tx, now),
        checkpoint=sealing.last_checkpoint_at(tx),
        activated={
            key.algorithm: key.activated_at
            for key in keys.published(tx)
            if key.state is KeyState.ACTIVE and key.activated_at is not None
        },
    )


def _set(times: MeasuredTimes) -> None:
    UNSEALED_AGE.of().set(_milliseconds(times.unsealed) if times.unsealed else 0)
    if times.checkpoint is not None:
        CHECKPOINT_AGE.of().set(_milliseconds(times.checkpoint))
    for algorithm in Algorithm:
        if algorithm in times.activated:
            KEY_AGE.of(algorithm).set(_milliseconds(times.activated[algorithm]))
        else:
            KEY_AGE.of(algorithm).unset()


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _versions(tx: Tx) -> tuple[str, str, str, str]:
    """Return the values of the labels: server, Python, database, schema."""
    dialect = tx.connection.dialect
    number = ".".join(str(part) for part in (dialect.server_version_info or ())[:3])
    revision = revision_of(tx.connection) or ""
    known = revision if re.fullmatch(r"[0-9]{4}", revision) else "unknown"  # raw SQL can store any text
    return version("authsec-server"), platform.python_version(), f"{dialect.name} {number}", known
