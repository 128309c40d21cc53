"""A stranger opens as many streams of the feed as one may, each at a place that nobody else is at: every one of them
wants a snapshot of ten thousand entries of its own. Meanwhile no head is signed for anybody, and every API that follows
comes to refuse all tokens.

Whoever is at the end of the feed is served in a line of their own; a snapshot is read once for all who ask within five
seconds, or until something else ends; and one network begins streams so often a minute and no more.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from authsec_server.revocations import api, live, store
from authsec_server.revocations import service as revocations
from authsec_server.revocations.feed import FeedDocument
from authsec_server.revocations.live import LiveFeed
from authsec_server.revocations.model import Revocation, SubjectKind
from databases import settings_for
from sqlalchemy import Connection

FEED = "/authsec/v1/revocations"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database."""
    return house(**settings_for(database_url, tmp_path))


def end(its: House, *names: str) -> None:
    for name in names:
        its.authority.database.change(lambda tx, n=name: revocations.end(tx, SubjectKind.TOKEN, n, its.clock.at))


class FeedWithoutEnd:
    """The feed, of which every page but those at its end takes for ever."""

    def __init__(self, its: House) -> None:
        self.database = its.authority.database
        self.last, self.now = its.authority.feed.last, its.authority.feed.now
        self.released = threading.Event()
        self._its = its

    def document(self, since: int, limit: int) -> FeedDocument:
        if since > 1000:
            self.released.wait(20)
        document: FeedDocument = self._its.authority.feed.document(since, limit)
        return document


def test_whoever_is_at_the_end_waits_for_no_stranger(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    end(its, "one", "two")
    slow = FeedWithoutEnd(its)

    async def begin(pages: AsyncIterator[FeedDocument]) -> None:
        await anext(pages)

    async def crowded() -> list[int]:
        told: list[int] = []
        feed = LiveFeed(slow)  # type: ignore[arg-type]  # all that is asked of a feed
        with anyio.fail_after(10), feed.follow():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed.run)
                pages = feed.pages(0)
                told.append((await anext(pages)).through)
                for number in range(128):
                    tasks.start_soon(begin, feed.pages(10**9 + number))
                await anyio.lowlevel.checkpoint()  # they stand in line now
                for name in ("three", "four", "five"):
                    await anyio.to_thread.run_sync(end, its, name)
                    while (through := (await anext(pages)).through) == told[-1]:
                        pass  # a head without news
                    told.append(through)
                slow.released.set()
                tasks.cancel_scope.cancel()
        return told

    try:
        assert anyio.run(crowded) == [2, 3, 4, 5]
    finally:
        slow.released.set()


def test_a_snapshot_is_read_once_until_something_ends(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    newest_of_each = store.newest_of_each

    def counting(connection: Connection, limit: int) -> list[Revocation]:
        read.append(limit)
        return newest_of_each(connection, limit)

    monkeypatch.setattr(store, "newest_of_each", counting)
    end(its, "one", "two")
    feed = its.authority.feed
    pages = [feed.document(10**9 + number, 1) for number in range(20)]
    assert (len(read), {page.through for page in pages}, {page.snapshot for page in pages}) == (1, {2}, {True})
    assert len({page.text for page in pages}) == 20, "each with a head of its own"
    end(its, "three")
    assert '"subject":"three"' in feed.document(10**9, 1).text
    assert len(read) == 2


def test_one_network_begins_so_often_and_no_more(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BEGIN_A_MINUTE", 3)
    monkeypatch.setattr(api, "FOLLOW_AT_ONCE", 0)
    its = house()
    end(its, "one")
    door, stream = its.door("198.51.100.7"), {"Accept": "text/event-stream"}
    assert door.get(FEED, params={"since": 10**9}).status_code == 200
    assert [door.get(FEED, params={"since": 0}, headers=stream).status_code for _ in range(3)] == [503, 503, 429]
    refused = door.get(FEED, params={"since": 10**9})
    assert (refused.status_code, refused.json()["retryable"]) == (429, True)
    assert int(refused.headers["Retry-After"]) > 0
    assert door.get(FEED, params={"since": 0}).status_code == 200, "whoever reads on from where it is, may"
    assert its.door("192.0.2.1").get(FEED, params={"since": 10**9}).status_code == 200, "nor is another in the way"
