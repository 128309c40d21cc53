"""The live audit log: whoever watches gets every event once, also those that are committed late; nobody else pays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from authsec_server.audit import live
from authsec_server.audit import service as audit
from authsec_server.audit.live import LiveAuditLog, Watcher
from authsec_server.audit.model import Event, EventKind, Recorded
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable
from sqlalchemy import create_engine

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite_suffices]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)


def now() -> datetime:
    return datetime.now(UTC)


def an_event() -> Event:
    return Event(at=now(), kind=EventKind.ROLE_CREATED, request_id="req_00000000000000000000live")


def write(database: Database, times: int = 1) -> list[int]:
    return database.append(lambda tx: [audit.record(tx, an_event()) for _ in range(times)])


@asynccontextmanager
async def running(audit_log: LiveAuditLog) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(audit_log.run)
        yield
        tasks.cancel_scope.cancel()


async def take(watcher: Watcher, number: int) -> list[int]:
    with anyio.fail_after(5):
        return [(await anext(watcher)).id for _ in range(number)]


async def nothing_more(watcher: Watcher) -> bool:
    with anyio.move_on_after(0.1):
        await anext(watcher)
        return False
    return True


async def test_each_watcher_gets_each_event_once_and_in_order(database: Database) -> None:
    seen = write(database, 3)
    audit_log = LiveAuditLog(database, now=now)
    async with running(audit_log):
        with audit_log.watch(after=seen[0]) as first, audit_log.watch(after=seen[-1]) as second:
            new = write(database, 2)
            assert await take(first, 4) == seen[1:] + new
            assert await take(second, 2) == new
            newer = write(database)
            with audit_log.watch(after=new[-1]) as third:
                assert [await take(each, 1) for each in (first, second, third)] == [newer] * 3
            assert await nothing_more(first)


@contextmanager
def held_back(database_url: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """An event in a transaction that is still open: its number, and what commits it."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            tx: Any = Tx(connection, None, 0)  # type: ignore[arg-type] # opened by hand
            yield audit.record(tx, an_event()), connection.commit
    finally:
        engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_is_committed_late_is_not_missed(database: Database, database_url: str) -> None:
    """PostgreSQL gives numbers at once and shows them at the commit: a lower number can come after a higher one."""
    audit_log = LiveAuditLog(database, now=now)
    (shown,) = write(database)
    async with running(audit_log):
        with held_back(database_url) as (early, commit), audit_log.watch(after=shown) as watcher:
            (before,) = write(database)
            assert await take(watcher, 1) == [before]
            assert early < before
            with held_back(database_url) as (later, commit_later):
                (after,) = write(database)
                assert await take(watcher, 1) == [after]
                commit_later()
                assert await take(watcher, 1) == [later]
            commit()
            assert await take(watcher, 1) == [early]
            assert await nothing_more(watcher)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_numbers_that_were_rolled_back_are_not_waited_for_for_ever(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_back(database_url):
        pass
    write(database)
    monkeypatch.setattr(live, "LATE", live.LATE * 0)
    tail = database.read(lambda tx: live.Tail(tx, now()))
    write(database)
    tail.accept(database.read(tail.read), now())
    tail.accept([], now())
    statements: list[object] = []
    monkeypatch.setattr(live.pages, "numbers_between", lambda *arguments: statements.append(arguments))
    assert database.read(tail.read) == []
    assert statements == []


async def test_a_watcher_that_does_not_take_its_events_is_ended_and_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_WAITING", 3)
    (shown,) = write(database)
    audit_log = LiveAuditLog(database, now=now)
    async with running(audit_log):
        with audit_log.watch(after=shown) as slow, audit_log.watch(after=shown) as quick:
            first = write(database, 2)
            assert await take(quick, 2) == first
            second = write(database, 2)
            assert await take(quick, 2) == second
            with anyio.fail_after(5):
                got = [recorded.id async for recorded in slow]
            assert (got, slow.lagging) == (first + second[:1], True)
            new = write(database)
            assert await take(quick, 1) == new
            assert not quick.lagging


async def test_who_begins_too_far_back_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RECENT", 5)
    numbers = write(database, 10)
    audit_log = LiveAuditLog(database, now=now)
    async with running(audit_log):
        with audit_log.watch(after=numbers[2]) as late, audit_log.watch(after=numbers[4]) as just:
            with anyio.fail_after(5):
                assert [recorded async for recorded in late] == []
            assert late.lagging
            assert await take(just, 5) == numbers[5:]


async def test_nobody_watches_nothing_is_read(database: Database) -> None:
    reads = CountedReads(database)
    audit_log = LiveAuditLog(reads, now=now)  # type: ignore[arg-type] # reads only
    async with running(audit_log):
        await anyio.sleep(0.05)
        assert reads.number == 0
        with audit_log.watch(after=0) as watcher:
            new = write(database)
            assert await take(watcher, 1) == new
        await anyio.sleep(0.05)
        before = reads.number
        await anyio.sleep(0.05)
        assert reads.number == before > 0
        with audit_log.watch(after=0) as again:
            assert len(await take(again, 1)) == 1


class CountedReads:
    """A database that counts how often it is read, and can be away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number = 0
        self.failure: Exception | None = None

    def read(self, work: Callable[[Tx], Any]) -> Any:
        self.number += 1
        if self.failure:
            raise self.failure
        return self._database.read(work)


async def test_one_reader_serves_all(database: Database) -> None:
    reads = CountedReads(database)
    audit_log = LiveAuditLog(reads, now=now)  # type: ignore[arg-type] # reads only
    seen: list[int] = []
    async with running(audit_log), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(watch_one, audit_log, seen)
        await anyio.sleep(0.05)
        before = reads.number
        write(database)
    assert len(seen) == 20
    assert reads.number - before < 10


async def watch_one(audit_log: LiveAuditLog, seen: list[int]) -> None:
    with audit_log.watch(after=0) as watcher:
        seen += await take(watcher, 1)


async def test_there_is_room_for_so_many(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_WATCHERS", 2)
    audit_log = LiveAuditLog(database, now=now)
    with audit_log.watch(after=0):
        with audit_log.watch(after=0), pytest.raises(Unavailable, match="too many readers"), audit_log.watch(after=0):
            pass
        with audit_log.watch(after=0):
            pass


async def test_it_rides_out_a_database_that_is_away(database: Database) -> None:
    reads = CountedReads(database)
    audit_log = LiveAuditLog(reads, now=now)  # type: ignore[arg-type] # reads only
    async with running(audit_log):
        with audit_log.watch(after=0) as watcher:
            await take(watcher, len(write(database)))
            reads.failure = Unavailable("away")
            missed = write(database)
            assert await nothing_more(watcher)
            reads.failure = None
            assert await take(watcher, 1) == missed


async def test_a_fault_ends_the_watchers_and_nothing_else(database: Database) -> None:
    reads = CountedReads(database)
    reads.failure = ZeroDivisionError()
    audit_log = LiveAuditLog(reads, now=now)  # type: ignore[arg-type] # reads only
    async with running(audit_log):
        with audit_log.watch(after=0) as watcher, anyio.fail_after(5):
            assert [recorded async for recorded in watcher] == []
            assert watcher.lagging
        reads.failure = None
        with audit_log.watch(after=0) as again:
            new = write(database)
            assert await take(again, 1) == new


@pytest.mark.parametrize("how", ["ending", "cancelled"])
async def test_at_the_end_of_the_server_every_watcher_comes_to_its_end(database: Database, how: str) -> None:
    over: list[str] = []
    audit_log = LiveAuditLog(database, now=now, ending=lambda: bool(over))
    got: list[Recorded] = []
    async with anyio.create_task_group() as tasks:
        with audit_log.watch(after=0) as watcher, anyio.fail_after(5):
            async with running(audit_log):
                await take(watcher, len(write(database)))
                if how == "ending":
                    over.append("SIGTERM")
                    got = [recorded async for recorded in watcher]
            got += [recorded async for recorded in watcher]
        assert (got, watcher.lagging) == ([], False)
        tasks.cancel_scope.cancel()
    if how == "ending":
        with pytest.raises(Unavailable), audit_log.watch(after=0):
            pass
