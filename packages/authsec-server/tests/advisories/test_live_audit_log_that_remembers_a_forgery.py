"""Somebody changes an event while an administrator watches, and puts it back.

The live audit log reads an event once for all who watch. If it kept the event, whoever joins hours later would be shown
the forged one, and no check would find anything.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from authsec_server.audit import live
from authsec_server.audit import service as audit
from authsec_server.audit.live import LiveAuditLog, Watcher
from authsec_server.audit.model import Event, EventKind
from authsec_server.db import Database
from sqlalchemy import text

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_whoever_joins_is_shown_the_event_as_it_is(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    event = Event(
        at=datetime.now(UTC),
        kind=EventKind.ROLE_CREATED,
        request_id="req_00000000000000000000live",
        address="192.0.2.7",
    )
    number = database.append(lambda tx: audit.record(tx, event))

    def write(address: str) -> None:
        statement = text("UPDATE events SET address = :address WHERE id = :number")
        its = {"address": address, "number": number}
        database.append(lambda tx: tx.connection.execute(statement, its) and None)

    async def shown(watcher: Watcher) -> str:
        with anyio.fail_after(5):
            return (await anext(watcher)).event.address

    audit_log = LiveAuditLog(database, now=lambda: datetime.now(UTC))
    write("203.0.113.9")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(audit_log.run)
        with audit_log.watch(after=number - 1) as first:
            assert await shown(first) == "203.0.113.9", "whoever looks meanwhile sees what the database has"
            write("192.0.2.7")
            with audit_log.watch(after=number - 1) as second:
                assert await shown(second) == "192.0.2.7"
        tasks.cancel_scope.cancel()


async def test_a_row_that_is_there_for_a_moment_makes_nobody_deaf(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is higher than any: whoever takes it for the newest one finds nothing behind it."""
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)

    def write(*, under: int | None = None) -> int:
        event = Event(
            at=datetime.now(UTC),
            kind=EventKind.ROLE_CREATED,
            request_id="req_00000000000000000000live",
            address="192.0.2.7",
        )
        number = database.append(lambda tx: audit.record(tx, event))
        if under:
            move(number, under)
        return number

    def move(number: int, to: int) -> None:
        statement = text("UPDATE events SET id = :to WHERE id = :number")
        database.append(lambda tx: tx.connection.execute(statement, {"number": number, "to": to}) and None)

    async def next_number(watcher: Watcher) -> int:
        with anyio.fail_after(5):
            return (await anext(watcher)).id

    known = write()
    audit_log = LiveAuditLog(database, now=lambda: datetime.now(UTC))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(audit_log.run)
        with audit_log.watch(after=known) as first:
            planted = write(under=10**9)
            shown = await next_number(first)
            if shown != 10**9:  # it was read before it was moved
                assert await next_number(first) == 10**9
            move(10**9, planted)
            with anyio.fail_after(5):
                assert [each.id async for each in first] in ([], [planted])
            assert first.lagging, "who watches loads the page again"
        with audit_log.watch(after=planted) as second:
            with anyio.move_on_after(0.1):
                await anext(second)
            assert await next_number_of(second, write()) is not None
        tasks.cancel_scope.cancel()


async def next_number_of(watcher: Watcher, number: int) -> int | None:
    """The event of that number, among those that come within seconds."""
    with anyio.move_on_after(5):
        async for each in watcher:
            if each.id == number:
                return number
    return None


async def test_an_event_that_was_away_for_a_moment_comes_to_whoever_joins_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    at = datetime.now(UTC) - timedelta(hours=1)
    event = Event(at=at, kind=EventKind.ROLE_CREATED, request_id="req_00000000000000000000live", address="192.0.2.7")
    numbers = [database.append(lambda tx: audit.record(tx, event)) for _ in range(4)]

    def move(number: int, to: int) -> None:
        statement = text("UPDATE events SET id = :to WHERE id = :number")
        database.append(lambda tx: tx.connection.execute(statement, {"number": number, "to": to}) and None)

    async def shown(watcher: Watcher, count: int) -> list[int]:
        with anyio.fail_after(5):
            return [(await anext(watcher)).id for _ in range(count)]

    audit_log = LiveAuditLog(database, now=lambda: datetime.now(UTC))
    move(numbers[2], -9)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(audit_log.run)
        with audit_log.watch(after=numbers[0]) as first:
            assert await shown(first, 2) == [numbers[1], numbers[3]]
            move(-9, numbers[2])
            with audit_log.watch(after=numbers[0]) as second:
                assert await shown(second, 3) == numbers[1:]
        tasks.cancel_scope.cancel()
