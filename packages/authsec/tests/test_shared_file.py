"""One connection to the authority for all workers of a host, each of which believes what it has verified, no more."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake_feed import FakeFeed, TimeOfDay, feeding
from .shared_files import bearer, eventually, plays, refuses, workers

FOLLOWS, READS = "follows, and records in", "reads"


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    with feeding(TimeOfDay()) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "revocations"


def test_one_follows_and_the_others_read(feed: FakeFeed, path: Path) -> None:
    token = bearer(feed)
    with workers(feed, path, 3) as (first, *others):
        for each in others:
            eventually(plays(each, READS))
        assert plays(first, FOLLOWS)()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        feed.end("client", "c1")
        for each in (first, *others):
            assert eventually(refuses(each, token)) < 1
        assert (feed.streams, feed.pages) == (1, 3)
        first.close()
        eventually(lambda: any(plays(each, FOLLOWS)() for each in others))
        feed.end("client", "c2")
        for each in others:
            eventually(refuses(each, bearer(feed, "c2")))
        assert (feed.streams, feed.pages) == (2, 3)
