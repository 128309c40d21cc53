"""Processes of an API, started one by one, share one connection to a real authority, and outlive it and each other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WORKER = str(Path(__file__).with_name("verifying_worker.py"))
FOLLOWS = "follows, and writes"


class Worker:
    """One process; `outcomes` of its tokens and its `role` as it last printed them."""

    def __init__(self, issuer: str, shared_file: Path, tokens: list[str]) -> None:
        self.outcomes: list[str] = []
        self.role = ""
        self.revived = False
        self.process = subprocess.Popen(
            [sys.executable, WORKER, issuer, "authsec-api", str(shared_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(tokens) + "\n")
        self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def end(self) -> None:
        self.process.kill()
        self._reader.join()
        with self.process:
            pass

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.revived |= ("token_revoked", "accepted") in zip(self.outcomes, said["outcomes"], strict=False)
            self.outcomes, self.role = said["outcomes"], said["role"]


@contextmanager
def working(*workers: Worker) -> Iterator[list[Worker]]:
    try:
        yield list(workers)
    finally:
        for each in workers:
            each.end()


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 20, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - began


def refused(workers: list[Worker], number: int) -> Callable[[], bool]:
    return lambda: all(each.outcomes[number] == "token_revoked" for each in workers)


@pytest.mark.soak  # test_shared_file_processes.py of the SDK has the same, with a stand-in for the authority
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_they_outlive_the_authority_and_each_other(serve: Any, tmp_path: Path) -> None:
    its = serve()
    role = its.role("Reader", "customers:read")
    agents = [its.agent(f"Agent {n}") for n in range(4)]
    delegations = [its.delegate(role, agent, "customers:read") for agent in agents]
    tokens = [its.ask(agent).json()["token"] for agent in agents]
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    with working(*(Worker(its.url, folder / "revocations", tokens) for _ in range(4))) as workers:
        seconds_until(lambda: all(each.outcomes == ["accepted"] * 4 for each in workers))
        seconds_until(lambda: sorted(each.role for each in workers) == [FOLLOWS, "reads", "reads", "reads"])
        its.post(f"delegations/{delegations[0]}/revoke")
        assert seconds_until(refused(workers, 0)) < 2

        its.stop(signal.SIGKILL)
        its = serve(port=int(its.url.rpartition(":")[2]))  # and comes back where it was
        its.post(f"delegations/{delegations[1]}/revoke")
        assert seconds_until(refused(workers, 1)) < 5  # those who follow pause for two seconds at most

        (leader,) = [each for each in workers if each.role == FOLLOWS]
        others = [each for each in workers if each is not leader]
        leader.process.kill()
        its.post(f"delegations/{delegations[2]}/revoke")
        assert seconds_until(refused(others, 2)) < 2
        seconds_until(lambda: sorted(each.role for each in others) == [FOLLOWS, "reads", "reads"])
        assert all(each.outcomes[3] == "accepted" for each in others)
        assert not any(each.revived for each in workers)
