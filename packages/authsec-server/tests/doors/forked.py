"""What a process of the fork server runs: it becomes the program that `processes.start` names.

A file and no function, for the fork server cannot import the package of a test.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence

from quick_ticks import tick_quickly


def become(command: Sequence[str], env: Mapping[str, str], folder: str, output: str, errors: str) -> None:
    """Run a Python program as if it had been started: `python FILE …` or `python -c CODE …`."""
    for number, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    tick_quickly()
    if command[1] == "-c":
        sys.argv = ["-c", *command[3:]]
        exec(command[2], {"__name__": "__main__"})  # noqa: S102 - the harness's own code
    else:
        sys.argv = [*command[1:]]
        runpy.run_path(command[1], run_name="__main__")


if __name__ == "__main__":
    become(*globals()["REQUEST"])
