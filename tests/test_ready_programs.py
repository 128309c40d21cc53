"""The programs that shells of tests start: they have what a real program has, and end as one ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

ECHO = """
import os, sys
print(sys.stdin.read(), sys.argv[1:], os.environ["TOLD"], os.path.basename(os.getcwd()))
print("to the other file", file=sys.stderr)
sys.exit(3)
"""


def test_arguments_variables_folder_files_and_status_are_those_of_the_shell(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "echo.py").write_text(ECHO, "utf-8")
    for first in (["echo.py"], ["-c", ECHO]):
        command, variables = [programs / "python", *first, "a b", "c"], os.environ | {"TOLD": "so"}
        done = subprocess.run(command, input="typed", cwd=folder, env=variables, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (3, "typed ['a b', 'c'] so here\n")
        assert done.stderr == "to the other file\n"


def test_a_program_that_fails_says_so(programs: Path, tmp_path: Path) -> None:
    done = subprocess.run([programs / "authsec", "nonsense"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_a_signal_reaches_the_program(programs: Path, tmp_path: Path) -> None:
    # It sleeps again and again: Python forgets a signal that comes just before a call that waits, until the call ends.
    waits = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
    command = [programs / "python", "-c", waits]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 5
