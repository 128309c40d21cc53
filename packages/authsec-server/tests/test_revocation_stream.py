"""Following the revocation feed: what ends is told at once, and that nothing has ended every few seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from authsec_server.db import Database, open_database
from authsec_server.revocations import api, live
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.web.bodies import Places
from databases import settings_for
from serving import serving
from starlette.requests import ClientDisconnect

pytestmark = pytest.mark.sqlite_suffices

FEED = "/authsec/v1/revocations"
House = Any
Page = dict[str, Any]


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database."""
    return house(**settings_for(database_url, tmp_path))


@pytest.fixture
def other(its: House, database_url: str) -> Iterator[Database]:
    """The same database, as another server has it open."""
    with closing(open_database(database_url)) as opened:
        yield opened


@contextmanager
def following(url: str, since: int = 0, **headers: str) -> Iterator[Iterator[Page]]:
    """The pages of the stream, each with the number that its message has."""
    headers |= {"Accept": "text/event-stream"}
    with (
        httpx.Client(timeout=20, trust_env=False) as client,
        client.stream("GET", url + FEED, params={"since": since}, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.status_code
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
        yield _pages(answer.iter_lines())


def _pages(lines: Iterator[str]) -> Iterator[Page]:
    message: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            message[name] = value
            continue
        page = json.loads(message["data"])
        assert (message["event"], message["id"]) == ("batch", str(page["through"]))
        yield page


def end(database: Database, its: House, *names: str) -> None:
    for name in names:
        database.change(lambda tx, name=name: revocations.end(tx, SubjectKind.TOKEN, name, its.clock.at))


def subjects(page: Page) -> list[str]:
    return [entry["subject"] for entry in page["entries"]]


def test_a_change_is_told_at_once(its: House, other: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process by itself; of others PostgreSQL tells, and of SQLite the next look does."""
    monkeypatch.setattr(live, "BEAT_SECONDS", 3600)
    monkeypatch.setattr(live, "POLL_SECONDS", 3600)
    end(its.authority.database, its, "before")
    with serving(its) as url, following(url) as pages:
        assert subjects(next(pages)) == ["before"]
        time.sleep(0.5)  # until the next look is far off, and the listener is there: nothing shows when they are
        if other.dialect == "sqlite":
            monkeypatch.setattr(live, "POLL_SECONDS", 0.05)  # from the next look on
        for database, name in ((its.authority.database, "here"), (other, "elsewhere")):
            end(database, its, name)
            page = next(pages)
            while not page["entries"]:  # the first look told it already
                page = next(pages)
            assert (subjects(page), page["snapshot"]) == ([name], False)
        its.authority.readiness.draining = True
        end(its.authority.database, its, "the last")  # the look that finds it finds that the server ends, too
        assert all(page["entries"] == [] or subjects(page) == ["the last"] for page in pages), "and the stream ends"


def test_whoever_comes_after_a_pause_gets_a_head_of_then(its: House) -> None:
    """Not what the last one before was given: to whoever begins, an old head looks like a recording."""

    async def begin(feed: live.LiveFeed) -> str:
        with feed.follow():
            head: str = json.loads((await anext(feed.pages(0))).text)["head"]
            return head

    async def twice() -> tuple[str, str]:
        feed = live.LiveFeed(its.authority.feed)
        before = await begin(feed)
        its.clock.at += timedelta(minutes=2)
        return before, await begin(feed)

    before, after = anyio.run(twice)
    assert before != after


def test_a_head_comes_though_nothing_ends(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    end(its.authority.database, its, "a", "b", "c")
    with serving(its) as url:
        with following(url, 0, **{"Last-Event-ID": "2"}) as pages:
            assert subjects(next(pages)) == ["c"], "it goes on after what was had last"
            assert [subjects(next(pages)) for _ in range(3)] == [[], [], []]
        with following(url, 9) as pages:
            first = next(pages)
            assert (first["snapshot"], subjects(first)) == (True, ["a", "b", "c"])
            assert (next(pages)["snapshot"], next(pages)["since"]) == (False, 3)


def test_what_many_end_together_comes_in_order(its: House, other: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    with serving(its) as url, following(url) as pages, ThreadPoolExecutor(6) as threads:
        for number in range(36):
            threads.submit(end, (its.authority.database, other)[number % 2], its, f"token {number}")
        told: list[int] = []
        while len(told) < 36:
            page = next(pages)
            assert page["since"] == (told[-1] if told else 0)
            told += [entry["sequence"] for entry in page["entries"]]
            assert page["through"] == (told[-1] if told else 0)
    assert told == list(range(1, 37))


def test_so_many_follow_from_one_network_and_no_more(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "FOLLOW_BY_ONE_NETWORK", 1)
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.05)
    with serving(house(max_in_flight=1)) as url, ExitStack() as first:
        pages = first.enter_context(following(url))
        next(pages)
        assert httpx.get(url + FEED, params={"since": 0}).status_code == 200, "whoever only reads is not in the way"
        assert _status(url) == 503
        assert httpx.get(url + "/.well-known/jwks.json").status_code == 200, "nor is whoever follows"
        first.close()
        deadline = time.monotonic() + 10
        while (status := _status(url)) == 503 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert status == 200


def _status(url: str) -> int:
    with httpx.stream("GET", url + FEED, params={"since": 0}, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200 or answer.headers["retry-after"] == "1"
        return answer.status_code


def test_whoever_takes_nothing_loses_the_place(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TAKE_SECONDS", 0.02)
    its, places = house(), Places(at_once=1, of_one=1)

    async def stuck() -> None:
        held = ExitStack()
        held.enter_context(places.one("somebody"))
        pages = live.LiveFeed(its.authority.feed).pages(0)
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        never_taken = live.Stream(await anext(pages), pages, held)
        await never_taken(scope, anyio.Event().wait, lambda _part: anyio.sleep_forever())

    with pytest.raises(ClientDisconnect):
        anyio.run(stuck)
    with places.one("somebody"):
        pass


def test_requests_that_queue_up_for_threads_are_not_in_the_way(house: Callable[..., House]) -> None:
    """As when agents ask for more tokens than the server can give: what ends is told all the same."""
    its = house()

    async def crowded() -> None:
        feed = live.LiveFeed(its.authority.feed)
        threads = anyio.to_thread.current_default_thread_limiter()
        threads.total_tokens = 1
        with anyio.fail_after(10), feed.follow():
            async with anyio.create_task_group() as tasks, threads:  # so there is none left
                tasks.start_soon(feed.run)
                pages = feed.pages(0)
                first = await anext(pages)
                await anyio.to_thread.run_sync(
                    end, its.authority.database, its, "gone", limiter=anyio.CapacityLimiter(1)
                )
                while (await anext(pages)).through == first.through:
                    pass
                tasks.cancel_scope.cancel()

    anyio.run(crowded)
