"""Somebody keeps a lock that lets servers read the checkpoints, but not write them.

No event gets a seal as long as the lock is kept. So the server's log says every five minutes that another transaction
keeps a lock, whatever it has locked.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

import anyio
import psycopg
import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing import sealer as sealing
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database, postgresql, postgresql_connection
from authsec_server.db.database import Access
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from structlog.testing import capture_logs

pytestmark = pytest.mark.anyio
BRIEF = postgresql_connection.Bounds(
    lock_timeout=50, statement_timeout=15_000, idle_in_transaction_session_timeout=2500
)
TURNS = 3


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def brief_locks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(postgresql_connection.BOUNDS, Access.APPEND, BRIEF)
    postgresql._opening.cache_clear()
    yield
    postgresql._opening.cache_clear()


@pytest.mark.usefixtures("brief_locks")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_log_says_that_a_locked_table_keeps_events_from_their_seals(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SECONDS", 0.01)
    fill(database)
    at, over = LATER, anyio.Event()

    def now() -> datetime:
        nonlocal at
        at += timedelta(minutes=11)
        if at > LATER + TURNS * timedelta(minutes=11):
            anyio.from_thread.run_sync(over.set)
        return at

    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=now)
    with psycopg.connect(database_url.replace("+psycopg", "")) as other, capture_logs() as logs:
        other.execute("LOCK TABLE checkpoints IN SHARE MODE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sealer.run)
            with anyio.fail_after(30):
                await over.wait()
            tasks.cancel_scope.cancel()
    assert "error" in {line["log_level"] for line in logs}
