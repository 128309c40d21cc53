"""The authority's database is restored from a backup, and as much ends again as the backup did not know, or more.

The numbers of the feed are given a second time then, and whoever goes on with what comes after the last one would never
hear of what ended under those below. So each batch says by a digest which entry it follows.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.state import Feed
from hypothesis import given
from hypothesis import strategies as st

from ..background import eventually
from ..fake_feed import TimeOfDay, document, entry, feeding, given_feed_keys, octets
from ..fake_keys import ISSUER, NOW, FakeClock
from ..shared_files import bearer, outcome, plays, refuses, workers

KNOWN = [entry(n, subject=f"c{n}") for n in range(1, 10)]
GROWN = KNOWN[:5] + [entry(n, subject=f"new{n}") for n in range(6, 12)]


@pytest.mark.parametrize("length", [9, 11])
def test_nothing_that_ended_since_the_backup_is_missed(length: int, caplog: pytest.LogCaptureFixture) -> None:
    feed, grown = Feed(ISSUER, given_feed_keys(), FakeClock().clock()), GROWN[:length]
    feed.take(octets(document(KNOWN)))
    with caplog.at_level(logging.WARNING, "authsec.verifier"), pytest.raises(BatchRefused, match="was replaced"):
        feed.take(octets(document(grown[9:], after=grown[8])))
    assert "changed before entry 9" in caplog.text
    assert not feed.ended([("client", "new11")], 7)  # nothing of such a batch counts
    assert feed.sequence == 0
    feed.take(octets(document(grown)))
    assert all(feed.ended([("client", each["subject"])], 7) for each in KNOWN + grown)
    feed.take(octets(document([], after=grown[-1])))


def test_what_others_have_recorded_is_compared_too() -> None:
    """Also where it begins before what is known."""
    for begins in (4, 9):
        feed = Feed(ISSUER, given_feed_keys(), FakeClock().clock())
        feed.take(octets(document(KNOWN)))
        assert feed.apply_shared(octets(document(KNOWN[begins:], after=KNOWN[begins - 1])))
        with pytest.raises(BatchRefused, match="was replaced"):
            feed.apply_shared(octets(document(GROWN[begins:], after=GROWN[begins - 1])))
        assert feed.sequence == 0


@pytest.mark.parametrize("follows", [None, 0, True, ["x"]])
def test_a_head_that_does_not_say_what_it_follows(follows: Any) -> None:
    feed = Feed(ISSUER, given_feed_keys(), FakeClock().clock())
    with pytest.raises(BatchRefused, match="which entry it follows"):
        feed.take(octets(document(KNOWN, follows=follows)))


class Authority:
    """Its feed as the server sends it, which `restore` takes back to an earlier length."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.entries: list[dict[str, Any]] = []

    def end(self, subject: str) -> None:
        self.entries.append(entry(len(self.entries) + 1, subject=subject, at=self.clock.wall))

    def restore(self, length: int) -> None:
        self.entries = self.entries[:length]

    def page(self, since: int, limit: int) -> bytes:
        told: dict[str, Any] = {"last": len(self.entries), "iat": int(self.clock.wall)}
        if since > len(self.entries):
            return octets(document(self.entries, **told, since=since, through=len(self.entries), snapshot=True))
        after = self.entries[since - 1] if since else None
        return octets(document(self.entries[since : since + limit], after=after, **told))


def catch_up(feed: Feed, authority: Authority, limit: int, recorded: list[bytes]) -> None:
    """As the follower does: again after whatever was refused."""
    for _ in range(40):
        page = authority.page(feed.sequence, limit)
        with suppress(BatchRefused):  # what is refused changes nothing, which is looked at below
            complete = feed.take(page).complete
            recorded.append(page)
            if complete:
                return
    raise AssertionError("it does not come to an end")


STEPS = st.one_of(
    st.tuples(st.just("end"), st.integers(1, 4)),
    st.tuples(st.just("restore"), st.integers(0, 9)),
    st.tuples(st.just("read"), st.integers(1, 4)),
    st.tuples(st.just("apply_shared"), st.integers(1, 4)),
)


@given(st.lists(STEPS, max_size=25))
def test_whenever_it_is_restored_all_that_has_ended_is_known(steps: list[tuple[str, int]]) -> None:
    """To one who follows, and to one who reads what the first has recorded and asks only where that does not do."""
    clock = FakeClock()
    authority, recorded = Authority(clock), list[bytes]()
    first, second = (Feed(ISSUER, given_feed_keys(), clock.clock()) for _ in range(2))
    refused: dict[Feed, set[str]] = {first: set(), second: set()}
    for number, (step, n) in enumerate([*steps, ("apply_shared", 4)]):
        clock.pass_by(1)
        if step == "end":
            for part in range(n):
                authority.end(f"{number}.{part}")
        elif step == "restore":
            authority.restore(n)
        else:
            catch_up(first, authority, n, recorded)
            if step == "apply_shared" and not applies_shared(second, recorded):
                catch_up(second, authority, n, [])
            for feed in (first, second) if step == "apply_shared" else (first,):
                refused[feed] |= {each["subject"] for each in authority.entries}
                assert all(feed.ended([("client", subject)], 7) for subject in refused[feed])
                assert feed.age() == 0


def applies_shared(feed: Feed, recorded: list[bytes]) -> bool:
    """Whether nothing was lacking after the last of them."""
    whole = False
    while recorded:
        with suppress(BatchRefused):  # what is refused changes nothing, which is looked at below
            whole = feed.apply_shared(recorded.pop(0))
            continue
        whole = False
    return whole


def test_verifiers_of_a_host_notice_it_while_they_follow(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with feeding(TimeOfDay()) as feed:
        for n in range(1, 4):
            feed.end("client", f"c{n}")
        with workers(feed, tmp_path / "revocations") as both:
            eventually(plays(both[1], "reads"))
            with feed.changed:
                feed.entries[1:] = [entry(n, subject=f"new{n}", at=NOW + n) for n in range(2, 6)]
                feed.changed.notify_all()
            for each in both:
                for subject in ("new2", "new3", "new5", "c3"):
                    assert eventually(refuses(each, bearer(feed, subject))) < 3
                assert outcome(each, bearer(feed, "c4")) == "accepted"
