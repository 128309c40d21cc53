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
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Protocol

IMPORTED: Final = (
    "authsec.cli",
    "authsec_server.app",
    *(
        f"authsec_server.cli.{name}"
        for name in ("admin", "audit", "audit_sealing", "audit_showing", "backup", "restore")
    ),
    "authsec_server.cli.serve",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
)


class Process(Protocol):
    """What the harness needs of a process. `subprocess.Popen` is one."""

    def send_signal(self, sig: int) -> None:
        """Send a signal; none to a process that has ended."""

    def poll(self) -> int | None:
        """The exit status; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status. Raises `subprocess.TimeoutExpired`."""


class Forked:
    """A process of the fork server, with the methods of `subprocess.Popen`."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    def send_signal(self, sig: int) -> None:
        if self.poll() is None and self._process.pid:
            os.kill(self._process.pid, sig)

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
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        process = context.Process(target=_run, args=(list(command), dict(env), cwd, output, errors), daemon=True)
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


def _run(command: list[str], env: dict[str, str], cwd: Path, output: Path, errors: Path) -> None:
    """In the forked process: become the program."""
    for number, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if command[1] == "-c":
        sys.argv = ["-c", *command[3:]]
        exec(command[2], {"__name__": "__main__"})  # noqa: S102 - the harness's own code
    else:
        sys.argv = command[1:]
        runpy.run_path(command[1], run_name="__main__")
