"""Somebody has taken the place of the worker that follows: holds its lock, and writes what he likes into its file.

He can keep the file silent, or fill it with what is not so or not new. The others ask the authority then; and where he
keeps them from that too, nothing is accepted once their knowledge is old.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from authsec import strict_json
from authsec.verifier.revocations import workers
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.shared_file import SharedFile
from authsec.verifier.revocations.state import Feed
from long_runs import some_of

from ..background import eventually
from ..fake_feed import FEED, FakeFeed, TimeOfDay, document, entry, feeding, given_feed_keys, octets
from ..fake_keys import ISSUER, NOW, FakeClock
from ..shared_files import bearer, outcome, refuses, role, worker


@contextmanager
def writing(feed: FakeFeed, path: Path, line: Callable[[], bytes]) -> Iterator[None]:
    """Hold the lock and write the same again and again, until the block ends."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.05):
            with path.open("ab") as file:
                file.write(line() + b"\n")

    path.write_bytes(SharedFile(path=path, issuer=feed.authority.url).header)
    path.chmod(0o600)
    thread = threading.Thread(target=write)
    with path.with_name("revocations.lock").open("wb") as lock:
        path.with_name("revocations.lock").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def emptied(feed: FakeFeed) -> bytes:
    """The entries left out, under the true head."""
    return octets({**strict_json.loads(feed.page(0)), "entries": []})


def at_another_place(feed: FakeFeed) -> bytes:
    """A true head of the moment, of one who had asked for what comes after all that has ended."""
    now = int(feed.clock.wall)
    return octets(document([], since=len(feed.entries) + 1, iss=feed.authority.url, iat=now))


def with_another_key(feed: FakeFeed) -> bytes:
    return octets(document([], key="his own", iss=feed.authority.url, iat=int(feed.clock.wall)))


def of_another_authority(feed: FakeFeed) -> bytes:
    """That has the same key, though none should."""
    return octets(document([], iat=int(feed.clock.wall), iss="https://authsec.example.org"))


def nothing(feed: FakeFeed) -> bytes:
    """But what the reader knows already."""
    return octets(document([], iss=feed.authority.url, iat=int(feed.clock.wall) - 20))


@pytest.mark.parametrize(
    "lie", some_of([emptied, at_another_place, with_another_key, of_another_authority, nothing, None])
)
def test_whatever_he_writes_what_is_revoked_is_refused(
    lie: Callable[[FakeFeed], bytes] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `None` he writes, to the end, what was true before the revocation. A lie is noticed sooner than silence."""
    if lie in {nothing, None}:
        monkeypatch.setattr(workers, "SHORTEST_PATIENCE", 1.2)
        monkeypatch.setattr(workers, "SPREAD", 0.1)
    tmp_path.chmod(0o700)
    path = tmp_path / "revocations"
    with feeding(TimeOfDay()) as feed:
        recorded = feed.page(0)
        with writing(feed, path, lambda: recorded if lie is None else lie(feed)):
            reader = worker(feed, path)
            assert outcome(reader, bearer(feed)) == "accepted"
            feed.end("client", "c1")
            assert eventually(refuses(reader, bearer(feed))) < 4
            assert feed.streams == 0
            feed.end("client", "c2")
            eventually(refuses(reader, bearer(feed, "c2")))
            assert outcome(reader, bearer(feed)) == "token_revoked"
            reader.close()


def test_cut_off_from_the_authority_too_nothing_is_accepted_on_a_recording(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "revocations"
    with feeding() as feed:  # in a time that passes when it is told to
        recorded = feed.page(0)
        with writing(feed, path, lambda: recorded):
            reader = feed.verifier(shared_file=path)
            assert outcome(reader, feed.authority.token()) == "accepted"
            feed.authority.live.pop(FEED)
            feed.clock.pass_by(29)
            assert outcome(reader, feed.authority.token()) == "accepted"
            feed.clock.pass_by(2)
            assert outcome(reader, feed.authority.token()) == "revocations_unavailable"
            eventually(lambda: role(reader) == "asks the authority:")
            assert outcome(reader, feed.authority.token()) == "revocations_unavailable"
            reader.close()


def test_an_old_snapshot_does_not_take_the_reader_back() -> None:
    """Nor does a batch of a history that was undone by restoring a database: from there it would miss what is new."""
    clock = FakeClock()
    feed = Feed(ISSUER, given_feed_keys(), clock.clock())
    feed.take(octets(document([entry(n, subject=f"c{n}") for n in range(1, 10)], iat=NOW + 2)))
    assert not feed.apply_shared(octets(document([entry(1)], snapshot=True, iat=NOW + 1)))
    assert not feed.apply_shared(octets(document([entry(n) for n in range(1, 13)], iat=NOW + 1)))
    with pytest.raises(BatchRefused, match="went backwards"):
        feed.apply_shared(octets(document([entry(2)], since=1, iat=NOW + 3)))
    assert feed.sequence == 9
    assert feed.apply_shared(octets(document([entry(2)], since=1, snapshot=True, iat=NOW + 3)))  # the authority says so
    assert feed.sequence == 2
