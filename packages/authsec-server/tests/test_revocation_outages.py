"""A database that dies while many follow the feed: nothing is missed, and nobody is left in doubt for long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from authsec_server.failures import Unavailable
from authsec_server.revocations import live
from authsec_server.revocations import service as revocations
from authsec_server.revocations.feed import Feed
from authsec_server.revocations.model import SubjectKind
from databases import settings_for
from serving import serving
from sqlalchemy import make_url

FEED = "/authsec/v1/revocations"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def its(house: Callable[..., Any], postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An authority on PostgreSQL that looks twenty times a second, and hears its own changes by looking only."""
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(live.LiveFeed, "_look_at_once", lambda _self: None)
    return house(**settings_for(postgres_url, tmp_path))


class Outage:
    """What befalls the database of an authority."""

    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self._name = make_url(url).database

    def cut_connections(self) -> int:
        """Every connection of everybody ends, as when PostgreSQL is started again: how many there were."""
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self._server, autocommit=True) as connection:
            found = connection.execute(cut, [self._name]).fetchone()
        assert found is not None
        return int(found[0])

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody connects any more."""
        self._allow("false")
        try:
            self.cut_connections()
            yield
        finally:
            self._allow("true")

    def _allow(self, connections: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{self._name}" WITH ALLOW_CONNECTIONS {connections}'.encode())


@pytest.fixture
def outage(postgres_server: str, postgres_url: str) -> Outage:
    return Outage(postgres_server, postgres_url)


@contextmanager
def following(url: str) -> Iterator[Iterator[dict[str, Any]]]:
    with httpx.stream("GET", url + FEED, params={"since": 0}, headers=STREAM, timeout=20, trust_env=False) as answer:
        assert answer.status_code == 200
        yield (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))


def unavailable() -> Any:
    raise Unavailable("The database is not available.")


def end(its: Any, name: str) -> None:
    its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.TOKEN, name, its.clock.at))


def told(pages: Iterator[dict[str, Any]]) -> list[str]:
    """The subjects of the next page that has any."""
    return next([entry["subject"] for entry in page["entries"]] for page in pages if page["entries"])


@pytest.mark.soak
def test_connections_that_are_cut_are_opened_anew_and_nothing_is_missed(
    its: Any, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    """The listener's too: what it would have hinted at is found by looking."""
    with serving(its) as url, following(url) as pages:
        end(its, "before")
        assert told(pages) == ["before"]
        for name in ("first", "second", "third"):
            assert outage.cut_connections() > 0
            end(its, name)
            assert told(pages) == [name]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_short_outage_is_sat_out(its: Any, outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with serving(its) as url, following(url) as pages:
        assert next(pages)["entries"] == []
        with outage.away():
            answer = httpx.get(url + FEED, params={"since": 99}, headers=STREAM)
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), "a newcomer is told"
        end(its, "after")
        assert told(pages) == ["after"], "and whoever followed goes on"
        with monkeypatch.context() as patch:
            tried = threading.Event()
            patch.setattr(Feed, "document", lambda *_: tried.set() or unavailable())
            end(its, "between look and reading")
            assert tried.wait(10)
        assert told(pages) == ["between look and reading"], "at the next look, and not at the next beat"
    assert time.monotonic() - began < live.BEAT_SECONDS


@pytest.mark.soak  # a short outage is in every run
def test_a_long_outage_ends_the_streams_before_their_silence_is_misunderstood(
    its: Any, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AWAY_SECONDS", 0.3)
    with serving(its) as url:
        with following(url) as pages, ExitStack() as more:
            assert [next(pages)["entries"], next(pages)["entries"]] == [[], []], "the second is of the first look"
            others = more.enter_context(following(url))
            next(others)
            more.enter_context(outage.away())
            # Nobody tries again for each of them: a database that does not even refuse would take five seconds a try.
            monkeypatch.setattr(Feed, "document", lambda *_: pytest.fail("the database is away"))
            assert not any(page["entries"] for both in (pages, others) for page in both), "and they end"
        monkeypatch.undo()
        end(its, "meanwhile")
        deadline = time.monotonic() + 10
        with following(url) as pages:
            assert told(pages) == ["meanwhile"]
            end(its, "after")
            assert told(pages) == ["after"]
        assert time.monotonic() < deadline
