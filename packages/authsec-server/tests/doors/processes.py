"""Processes of `authsec`: started as users start them, or forked from a process that has imported everything already.

The import is most of the work of a short run. A forked process is as real to signals, files, sockets and databases. Its
start is shorter, so published times come from processes that were started.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Protocol

_FORKED: Final = str(Path(__file__).with_name("forked.py"))
AUTHSEC: Final = (sys.executable, str(Path(sys.executable).with_name("authsec")))
_GO: Final = "go"
_COMMANDS: Final = ("admin", "audit", "audit_verify", "backup", "restore", "serve")
IMPORTED: Final = (  # what a command and a server import, and what they import only once they need it
    "authsec.cli",
    "authsec_server.app.console_pages",
    "authsec_server.cli.local",
    "authsec_server.db.postgresql",
    "alembic.command",
    "alembic.config",
    "alembic.runtime.migration",
    *(f"authsec_server.cli.{name}" for name in _COMMANDS),
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
)


class Process(Protocol):
    """What tests need of a process. `subprocess.Popen` is one."""

    pid: int

    def send_signal(self, sig: int) -> None:
        """Send a signal; none to a process that has ended."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def poll(self) -> int | None:
        """The exit status; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises `subprocess.TimeoutExpired`."""


class Forked:
    """A process of the fork server, with the methods of `subprocess.Popen`."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired("authsec", timeout or 0.0)
        return status


def start(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path, errors: Path | None = None, fork: bool
) -> Process:
    """Start a Python program (`python FILE …` or `python -c CODE …`) whose output is appended to files."""
    errors = errors or output
    if fork:
        output.touch()  # for whoever reads it before the process writes
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        request = (list(command), dict(env), str(cwd), str(output), str(errors))
        how = {"init_globals": {"REQUEST": request}, "run_name": "__main__"}
        process = context.Process(target=runpy.run_path, args=(_FORKED,), kwargs=how, daemon=True)
        process.start()
        return Forked(process)
    with output.open("ab") as out, errors.open("ab") as err:
        return subprocess.Popen(command, env=env, stdout=out, stderr=err, cwd=cwd)


def run(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float, fork: bool
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Raises `subprocess.TimeoutExpired`."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        process = start(command, env=env, cwd=cwd, output=output, errors=errors, fork=fork)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        return subprocess.CompletedProcess(command, status, output.read_text("utf-8"), errors.read_text("utf-8"))


def run_at_once(
    programs: Sequence[Sequence[str]], folder: Path, *, timeout: float = 60
) -> list[subprocess.CompletedProcess[str]]:
    """Run programs that get ready, say so, and wait for the others: see `wait_for_the_others`."""
    go, outputs = folder / _GO, [folder / f"output-{number}" for number in range(len(programs))]
    go.unlink(missing_ok=True)
    env = {**os.environ, "AT_ONCE": str(go)}
    started = [
        start([sys.executable, *program], env=env, cwd=folder, output=output, fork=True)
        for program, output in zip(programs, outputs, strict=True)
    ]
    try:
        until = time.monotonic() + timeout
        while not all("ready\n" in output.read_text("utf-8") for output in outputs):
            assert time.monotonic() < until, [output.read_text("utf-8") for output in outputs]
            assert all(process.poll() is None for process in started), [each.read_text("utf-8") for each in outputs]
            time.sleep(0.005)
        go.touch()
        ended = [process.wait(timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    said = [output.read_text("utf-8").partition("ready\n")[2] for output in outputs]
    for output in outputs:
        output.unlink()
    return [subprocess.CompletedProcess(*each) for each in zip(programs, ended, said, strict=True)]


def wait_for_the_others() -> None:
    """In a program of `run_at_once`: return when all of them have come here."""
    go = Path(os.environ["AT_ONCE"])
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.002)
