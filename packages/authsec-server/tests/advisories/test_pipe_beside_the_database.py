"""Somebody who may write to the folder of the SQLite file puts a named pipe in the place of one of SQLite's files.

Before SQLite opens these files, each command and each server reads them. To open a pipe waits for a writer, so `verify`
waits for ever, and no server starts.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from authsec_server.db import open_database
from authsec_server.db.sqlite_files import lacks_wal
from authsec_server.db.sqlite_leftovers import refuse_leftovers
from authsec_server.failures import StartupRefused

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")

SUFFIXES = ["", "-wal", "-journal", "-shm"]


def _checked(file: Path) -> None:
    with suppress(StartupRefused):
        lacks_wal(file)  # as each command and each server asks first
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "authsec.sqlite3"
    pipe = file.with_name(file.name + suffix)
    os.mkfifo(pipe)
    checking = threading.Thread(target=_checked, args=(file,))
    checking.start()
    waited = _is_waited_for(pipe, checking)
    checking.join()
    assert not waited


@pytest.mark.parametrize("make", ["mkfifo", "mkdir"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_regular_file_is_named(tmp_path: Path, suffix: str, make: str) -> None:
    file = tmp_path / "authsec.sqlite3"
    wrong = file.with_name(file.name + suffix)
    getattr(os, make)(wrong)
    with (
        closing(open_database(f"sqlite:///{file}")) as database,
        pytest.raises(StartupRefused, match=f"^{re.escape(str(wrong))} is not a regular file"),
    ):
        database.is_empty()


def test_a_symbolic_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "authsec.sqlite3").symlink_to(tmp_path / "file")
    with closing(open_database(f"sqlite:///{tmp_path / 'authsec.sqlite3'}")) as database:
        assert database.is_empty()
