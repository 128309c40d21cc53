"""Somebody changes an event while an administrator watches, and puts it back.

The live journal reads an event once for all who watch. If it kept the event, whoever joins hours later would be shown
the forged one, and no check would find anything.
"""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import pytest
from authsec_server.audit import live
from authsec_server.audit import service as audit
from authsec_server.audit.live import LiveJournal, Watcher
from authsec_server.audit.model import Event, EventKind
from authsec_server.db import Database
from sqlalchemy import text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_whoever_joins_is_shown_the_event_as_it_is(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    event = Event(at=datetime.now(UTC), kind=EventKind.ROLE_CREATED, request_id="req_live", address="192.0.2.7")
    number = database.append(lambda tx: audit.record(tx, event))

    def write(address: str) -> None:
        statement = text("UPDATE events SET address = :address WHERE id = :number")
        its = {"address": address, "number": number}
        database.append(lambda tx: tx.connection.execute(statement, its) and None)

    async def shown(watcher: Watcher) -> str:
        with anyio.fail_after(5):
            return (await anext(watcher)).event.address

    journal = LiveJournal(database, now=lambda: datetime.now(UTC))
    write("203.0.113.9")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.run)
        with journal.watch(after=number - 1) as first:
            assert await shown(first) == "203.0.113.9", "whoever looks meanwhile sees what the database has"
            write("192.0.2.7")
            with journal.watch(after=number - 1) as second:
                assert await shown(second) == "192.0.2.7"
        tasks.cancel_scope.cancel()
