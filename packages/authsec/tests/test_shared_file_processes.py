"""Real processes share a file: forked ones, killed ones, stopped ones, and some whose disk is full."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from authsec import TokenVerifier
from authsec.verifier.revocations import workers as workers_module
from authsec.verifier.revocations.shared_file import SharedFile, open_private

from .background import eventually
from .fake_feed import FakeFeed, TimeOfDay, feeding
from .fake_keys import AUDIENCE, ISSUER
from .shared_files import bearer, outcome, refuses, role

FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12: it is the point
ROLES = ["", "follows, and writes", "reads", "asks the authority:"]


class Worker:
    """A process that verifies some tokens again and again, and writes down what comes of it."""

    def __init__(self, make: Callable[[], TokenVerifier], tokens: list[str]) -> None:
        self._refused = FORK.RawArray("b", len(tokens))
        self._revived = FORK.RawValue("b", 0)
        self._role = FORK.RawValue("b", 0)
        self._make = make
        self._tokens = tokens
        self.process: BaseProcess = FORK.Process(target=self._work, daemon=True)
        self.process.start()

    @property
    def role(self) -> str:
        said: int = self._role.value
        return ROLES[said]

    def refuses(self, number: int) -> bool:
        return bool(self._refused[number])

    @property
    def revived(self) -> bool:
        """Whether a token was accepted after it had been refused."""
        return bool(self._revived.value)

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def _work(self) -> None:
        verifier = self._make()
        while True:
            for number, token in enumerate(self._tokens):
                said = outcome(verifier, token)
                if said == "token_revoked":
                    self._refused[number] = 1
                elif said == "accepted" and self._refused[number]:
                    self._revived.value = 1
            self._role.value = ROLES.index(role(verifier)) if role(verifier) in ROLES else 0
            time.sleep(0.02)


Start = Callable[..., list[Worker]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "SHORTEST_PATIENCE", 2.2)  # the authority's time is in whole seconds
    monkeypatch.setattr(workers_module, "SPREAD", 0.1)


@pytest.fixture
def feed() -> Iterator[FakeFeed]:
    with feeding(TimeOfDay()) as running:
        running.beat = 0.5
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "revocations"


@pytest.fixture
def start(feed: FakeFeed, path: Path) -> Iterator[Start]:
    started: list[Worker] = []

    def start(count: int, make: Callable[[], TokenVerifier] | None = None) -> list[Worker]:
        tokens = [bearer(feed, client) for client in ("c1", "c2", "c3")]
        made = make or (lambda: TokenVerifier(feed.authority.url, AUDIENCE, shared_file=path))
        started.extend(Worker(made, tokens) for _ in range(count))
        eventually(lambda: all(each.role for each in started), 20)
        return started[-count:]

    yield start
    for each in started:
        each.signal(signal.SIGCONT)
        each.process.kill()
    for each in started:
        each.process.join()


def parted(workers: list[Worker]) -> tuple[Worker, list[Worker]]:
    """The one that follows, and the others."""
    (leader,) = [each for each in workers if each.role == ROLES[1]]
    return leader, [each for each in workers if each is not leader]


@pytest.mark.soak
def test_twelve_workers_have_one_connection_and_another_takes_over(feed: FakeFeed, start: Start) -> None:
    leader, others = parted(workers := start(12))
    assert {each.role for each in others} == {"reads"}
    assert (feed.streams, feed.pages) == (1, 12)
    feed.end("client", "c1")
    assert eventually(lambda: all(each.refuses(0) for each in workers)) < 2
    leader.signal(signal.SIGKILL)
    feed.end("client", "c2")
    assert eventually(lambda: all(each.refuses(1) for each in others)) < 2
    eventually(lambda: sum(each.role == ROLES[1] for each in others) == 1)
    feed.end("client", "c3")
    assert eventually(lambda: all(each.refuses(2) for each in others)) < 2
    assert (feed.streams, feed.pages) == (2, 12)
    assert not any(each.revived for each in workers)


@pytest.mark.usefixtures("impatient")
def test_while_the_one_that_follows_hangs_the_others_ask(feed: FakeFeed, start: Start) -> None:
    leader, others = parted(start(3))
    leader.signal(signal.SIGSTOP)
    feed.end("client", "c1")
    assert eventually(lambda: all(each.refuses(0) for each in others)) < 5
    eventually(lambda: all(each.role == ROLES[3] for each in others))
    feed.end("client", "c2")
    assert eventually(lambda: all(each.refuses(1) for each in others)) < 3  # and go on asking
    leader.signal(signal.SIGCONT)
    eventually(lambda: all(each.role == "reads" for each in others))
    feed.end("client", "c3")
    assert eventually(lambda: all(each.refuses(2) for each in [leader, *others])) < 2
    assert feed.streams == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's file size, which is Linux's to do")
def test_while_the_disk_is_full_each_knows_what_it_has_to(feed: FakeFeed, start: Start) -> None:
    leader, others = parted(start(2))
    assert leader.process.pid is not None
    unlimited = resource.prlimit(leader.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    feed.end("client", "c1")
    assert eventually(lambda: leader.refuses(0)) < 2
    eventually(lambda: others[0].refuses(0) and others[0].role == ROLES[3])
    resource.prlimit(leader.process.pid, resource.RLIMIT_FSIZE, unlimited)
    eventually(lambda: others[0].role == "reads")
    feed.end("client", "c2")
    assert eventually(lambda: others[0].refuses(1)) < 2


def test_a_fork_takes_over_once_its_parent_lets_go(feed: FakeFeed, path: Path, start: Start) -> None:
    """Though it was born with the parent's lock in its hands; and it knows from birth what the parent knew."""
    verifier = TokenVerifier(feed.authority.url, AUDIENCE, shared_file=path)
    feed.end("client", "c1")
    eventually(refuses(verifier, bearer(feed)))
    eventually(lambda: role(verifier) == ROLES[1])
    children = start(2, lambda: verifier)
    assert {each.role for each in children} == {"reads"}
    assert all(each.refuses(0) for each in children)
    feed.end("client", "c2")
    eventually(lambda: all(each.refuses(1) for each in children))
    assert feed.streams == 1
    verifier.close()
    eventually(lambda: sum(each.role == ROLES[1] for each in children) == 1)
    feed.end("client", "c3")
    eventually(lambda: all(each.refuses(2) for each in children))
    assert feed.streams == 2


def test_a_fork_waits_while_the_lock_is_being_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the child would have a descriptor of it that nobody knows of, and hold the lock for as long as it lives."""
    opened = threading.Event()

    def slowly(path: Path, flags: int) -> int:
        fd = open_private(path, flags)
        opened.set()
        time.sleep(0.2)
        return fd

    monkeypatch.setattr(workers_module, "open_private", slowly)
    place = SharedFile(path=path, issuer=ISSUER)
    first = workers_module.Election(place)
    taking = threading.Thread(target=first.won)
    taking.start()
    opened.wait()

    def live() -> None:
        first.forget()
        time.sleep(60)

    child = FORK.Process(target=live, daemon=True)
    child.start()
    taking.join()
    assert first.held
    first.resign()
    second = workers_module.Election(place)
    eventually(second.won)  # the child has let go, too
    second.resign()
    child.kill()
    child.join()
