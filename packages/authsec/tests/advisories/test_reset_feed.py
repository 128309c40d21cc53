"""The authority's database is restored from a backup, or exchanged, and the feed begins anew.

Following it in that would revive every token that was revoked since the backup. What an API has refused it refuses on.
"""

from __future__ import annotations

import logging

import pytest
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.state import Feed

from ..fake_feed import document, entry, given_feed_keys, octets
from ..fake_keys import ISSUER, FakeClock


def test_a_feed_that_has_gone_back(caplog: pytest.LogCaptureFixture) -> None:
    feed = Feed(ISSUER, given_feed_keys(), FakeClock().clock())
    feed.take(octets(document([entry(n, subject=f"c{n}") for n in range(1, 10)])))
    with pytest.raises(BatchRefused):
        feed.take(octets(document([], since=2)))  # it has to say that it begins anew
    with caplog.at_level(logging.WARNING, "authsec.verifier"):
        last = entry(2, subject="x")
        feed.take(octets(document([entry(1, subject="c1"), last], since=9, snapshot=True)))
    assert "went back from 9 to 2" in caplog.text
    assert feed.sequence == 2
    for subject in ("c1", "c9", "x"):
        assert feed.ended([("client", subject)], 7)
    feed.take(octets(document([entry(3, subject="c10")], after=last)))
    assert feed.ended([("client", "c10")], 7)


def test_an_older_version_takes_nothing_back() -> None:
    feed = Feed(ISSUER, given_feed_keys(), FakeClock().clock())
    feed.take(octets(document([entry(1, subject="c1", version=90)])))
    feed.take(octets(document([entry(1, subject="c1", version=3)], snapshot=True)))
    assert feed.ended([("client", "c1")], 89)
