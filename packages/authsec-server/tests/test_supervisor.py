"""The supervisor of `authsec serve --workers`: which worker it starts when, and how it ends them all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import processes
import pytest
from processes import Process

PROGRAM = Path(__file__).with_name("supervised.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no workers")


class Supervised:
    """A supervisor of workers that behave as `how` says."""

    def __init__(self, process: Process, output: Path) -> None:
        self.process = process
        self._output = output

    def said(self) -> list[str]:
        """What the workers said, in order."""
        return [line for line in self._output.read_text().splitlines() if not line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, object]]:
        """The lines of the supervisor's log."""
        lines = [json.loads(line) for line in self._output.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"].startswith(event)]

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < until, self._output.read_text()
            time.sleep(0.005)

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Send a signal once both workers are ready, and wait until both were told."""
        self.wait_until(lambda: len(self.logged("a worker is ready")) == 2)
        before = len(self.said())
        self.process.send_signal(number)
        self.wait_until(lambda: len(self.said()) == before + 2)


@contextmanager
def supervised(folder: Path, how: str) -> Iterator[Supervised]:
    output = folder / "output"
    environment = os.environ | {"STUB": how, "PYTHONPATH": str(PROGRAM.parent / "doors")}
    command = [sys.executable, str(PROGRAM)]
    process = processes.start(command, env=environment, cwd=folder, output=output, fork=True)
    try:
        yield Supervised(process, output)
    finally:
        process.kill()
        process.wait(10)


def test_it_imports_nothing_that_opens_a_database_or_a_key() -> None:
    code = "import sys, authsec_server.cli.serve, authsec_server.cli.supervisor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert imported & {"cryptography", "psycopg", "sqlalchemy", "starlette", "uvicorn"} == set()


@pytest.mark.parametrize(("how", "status"), [("cannot start", 3), ("ends early", 0)])
def test_if_the_first_worker_does_not_get_ready_nothing_else_starts(tmp_path: Path, how: str, status: int) -> None:
    with supervised(tmp_path, how) as its:
        assert its.process.wait(30) == status, "that of the worker"
        assert its.said() == ["started 1"]


def test_a_worker_that_ends_is_started_after_growing_pauses(tmp_path: Path) -> None:
    """Also if the system has no files left for it at first."""
    with supervised(tmp_path, "ends") as its:
        its.wait_until(lambda: len(its.logged("a worker has ended")) >= 4)
        ended = its.logged("a worker has ended")[:4]
        assert [each["seconds"] for each in ended] == [0.02, 0.04, 0.05, 0.05]
        assert [each.get("status") or each["problem"] for each in ended] == [4, os.strerror(errno.ENFILE), 4, 4]
        assert {each["worker"] for each in ended} == {2}
        assert its.said().count("started 1") == 1


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, "D"), (signal.SIGINT, "S")])
def test_a_signal_reaches_all_workers_and_none_is_started_again(tmp_path: Path, number: int, told: str) -> None:
    with supervised(tmp_path, "obeys") as its:
        its.tell(number)
        assert its.process.wait(30) == 0
        assert its.said() == ["started 1", "started 2", f"told {told}", f"told {told}"]


def test_a_second_signal_skips_the_wait(tmp_path: Path) -> None:
    with supervised(tmp_path, "drains long") as its:
        its.tell()
        its.tell()
        assert its.process.wait(30) == 0
        assert its.said()[2:] == ["told D", "told D", "told S", "told S"]


def test_a_worker_that_does_not_say_that_it_works_is_killed_and_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, "silent") as its:
        its.wait_until(lambda: its.said().count("started 1") == 2)
        assert {each["status"] for each in its.logged("a worker has ended")} == {-signal.SIGKILL}


def test_workers_that_hang_at_the_end_are_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, "hangs") as its:
        its.wait_until(lambda: len(its.logged("a worker is ready")) == 2)
        its.process.send_signal(signal.SIGTERM)
        assert its.process.wait(30) == 1
        assert [each["worker"] for each in its.logged("a worker hangs")] == [1, 2]
