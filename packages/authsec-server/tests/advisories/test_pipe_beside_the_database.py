"""Somebody who may write to the folder of the SQLite file puts a named pipe in the place of its `-wal` or `-journal`.

Before SQLite opens these files, each command and each server reads them. To open a pipe waits for a writer, so `verify`
waits for ever, and no server starts.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from authsec_server.db.sqlite_leftovers import refuse_leftovers
from authsec_server.failures import StartupRefused

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")


def _checked(file: Path) -> None:
    with suppress(StartupRefused):
        refuse_leftovers(file)


def _is_waited_for(pipe: Path, checking: threading.Thread) -> bool:
    """Whether the thread opens the pipe. If it does, let the thread end."""
    while checking.is_alive():
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # fails while nobody reads
        except OSError:
            checking.join(0.01)
        else:
            return True
    return False


@pytest.mark.xfail(strict=True, reason="the leftover files are opened, whatever they are")
@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "authsec.sqlite3"
    pipe = file.with_name(file.name + suffix)
    os.mkfifo(pipe)
    checking = threading.Thread(target=_checked, args=(file,))
    checking.start()
    waited = _is_waited_for(pipe, checking)
    checking.join()
    assert not waited
