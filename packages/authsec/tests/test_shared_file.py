"""One connection to the authority for all workers of a host, each of which believes what it has verified, no more."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authsec import ConfigError, TokenVerifier
from authsec.verifier.revocations import shared_file

from .background import eventually
from .fake_feed import FakeFeed, TimeOfDay, feeding
from .fake_keys import AUDIENCE, ISSUER
from .shared_files import bearer, plays, refuses, role, worker, workers

FOLLOWS, READS = "follows, and writes", "reads"


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
            assert eventually(refuses(each, token)) < 2
        assert (feed.streams, feed.pages) == (1, 3)
        first.close()
        eventually(lambda: any(plays(each, FOLLOWS)() for each in others))
        feed.end("client", "c2")
        for each in others:
            eventually(refuses(each, bearer(feed, "c2")))
        assert (feed.streams, feed.pages) == (2, 3)


def test_the_file_is_replaced_before_it_grows_large(
    feed: FakeFeed, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_file, "LARGEST", 1500)
    feed.beat = 5  # two files within one look would be one too many
    with workers(feed, path) as (first, second):
        eventually(plays(second, READS))
        files, largest = [path.stat().st_ino], 0
        for n in range(12):
            feed.end("client", f"c{n}")
            eventually(lambda: sequence(second) == len(feed.entries))
            its = path.stat()
            files += [its.st_ino] if its.st_ino != files[-1] else []
            largest = max(largest, its.st_size)
        assert len(files) > 3
        assert largest < 3000
        assert refuses(second, bearer(feed, "c0"))()
        assert (feed.streams, feed.pages, len(list(path.parent.iterdir()))) == (1, 2, 2)
        assert sequence(first) == 12


@pytest.mark.parametrize("gone", ["revocations", "revocations.lock"])
def test_what_is_deleted_comes_back(feed: FakeFeed, path: Path, gone: str) -> None:
    """Somebody tidies up. Without the lock two may follow for a moment; the one whose file was replaced lets go."""
    with workers(feed, path, 3) as all_three:
        for each in all_three[1:]:
            eventually(plays(each, READS))
        path.with_name(gone).unlink()
        eventually(lambda: path.with_name(gone).exists())
        eventually(lambda: sorted(map(role, all_three)) == [FOLLOWS, READS, READS])
        feed.end("client", "c1")
        for each in all_three:
            assert eventually(refuses(each, bearer(feed))) < 2


def test_a_file_that_cannot_be_used_any_more_is_left_alone(
    feed: FakeFeed, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each follows by itself, and says why."""
    with workers(feed, path) as both:
        eventually(plays(both[1], READS))
        path.unlink()
        path.mkdir()
        for each in both:
            eventually(lambda: role(each) in {"follows by itself:", "follows, but cannot write:"})  # noqa: B023 - now
        feed.end("client", "c1")
        for each in both:
            assert eventually(refuses(each, bearer(feed))) < 2
        assert "cannot be shared between the workers of this host" in caplog.text
        assert "is not a regular file" in caplog.text


def test_the_environment_names_the_file(feed: FakeFeed, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_REVOCATIONS_FILE", str(path))
    verifier = worker(feed, path, shared_file=None)
    assert verifier.verify(bearer(feed))
    eventually(path.exists)
    assert feed.authority.url.encode() in path.read_bytes().partition(b"\n")[0]
    verifier.close()


def a_file(path: Path, content: str, mode: int = 0o600) -> None:
    path.write_text(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda path: path.parent.rmdir(), "the folder .* does not exist.*mode 700"),
        (lambda path: path.parent.chmod(0o770), "can be written by others .mode 0770.*mode 700"),
        (lambda path: path.parent.chmod(0o1777), "can be written by others .mode 1777"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: os.mkfifo(path, 0o600), "is not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "is a link: name the file itself"),
        (
            lambda path: a_file(path, "\n[settings]\n"),
            "is not a revocation feed file: name another file",
        ),
        (lambda path: a_file(path, "", 0o606), "can be written by others .mode 0606.: chmod 600"),
        (lambda path: a_file(path, '{"authsec_revocations_of":"https://other.example.com"}\n'), "other.example.com"),
    ],
)
def test_places_where_workers_cannot_meet(tmp_path: Path, prepare: Callable[[Path], Any], why: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    prepare(folder / "revocations")
    with pytest.raises(ConfigError, match=why) as refused:
        TokenVerifier(ISSUER, AUDIENCE, shared_file=folder / "revocations")
    assert refused.value.reason == "shared_file_invalid"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user(path: Path) -> None:
    a_file(path, "")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to another user: run all workers as one"):
        TokenVerifier(ISSUER, AUDIENCE, shared_file=path)


def sequence(verifier: TokenVerifier) -> int:
    health = verifier.health().revocations
    return -1 if health is None else health.sequence
