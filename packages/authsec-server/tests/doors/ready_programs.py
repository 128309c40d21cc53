"""Programs for the shells of tests: `authsec`, `python`, `uvicorn`, forked from a process that has imported everything.

An interpreter of its own imports for a second before a command works for a tenth of that. A forked program has the same
arguments, variables, folder, files and signals. Some tests start the real programs: only these show a missing import.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import processes

HERE: Final = Path(__file__).parent
NAMES: Final = ("authsec", "python", "uvicorn")
STARTING: Final = 60.0  # seconds for the server of the programs, on a busy machine


@contextmanager
def ready_programs() -> Iterator[Path]:
    """A folder for the beginning of PATH. Its programs end with this context."""
    with tempfile.TemporaryDirectory(prefix="authsec-programs-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        address, log = folder / "server.socket", folder / "server.log"
        for name in NAMES:
            _write(folder / name, [str(HERE / "ready_programs_client.py"), str(address), name])
        command = [
            sys.executable,
            str(HERE / "ready_programs_server.py"),
            str(address),
            str(Path(sys.executable).parent),
        ]
        server = processes.start(command, env=os.environ, cwd=folder, output=log, fork=True)
        try:
            _wait_for(address, server, log)
            yield folder
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(STARTING)


def _write(program: Path, words: list[str]) -> None:
    # -I and -S: the client needs nothing that is installed, and reads no variables of Python.
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-S", *words])} "$@"\n', "utf-8")
    program.chmod(0o755)


def _wait_for(address: Path, server: processes.Process, log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while not address.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server of the programs did not start:\n{log.read_text('utf-8')}")
        time.sleep(0.01)
