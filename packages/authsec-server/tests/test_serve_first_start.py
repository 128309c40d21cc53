"""`authsec serve` where nobody administers yet: the way in stands on a terminal, and in no log."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from authsec_server.cli.serve import serve; serve()", "--port", "0"]
URL = re.compile(rb"http://127\.0\.0\.1:\d+/console/set-up\?code=[A-Za-z0-9_-]{43}")


def said(data: Path, until: bytes, *, terminal: bool) -> bytes:
    """What the server says, as far as `until` and in the moment after, or until it ends."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen([*COMMAND, "--data", str(data)], stdout=theirs, stderr=theirs)
    os.close(theirs)
    heard = b""
    try:
        while part := next_part(ours, 0.5 if until in heard else 30):
            heard += part
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        os.close(ours)
    return heard


def next_part(descriptor: int, seconds: float) -> bytes:
    """What comes within that time; nothing if the other end is closed, which a terminal reports as an error."""
    try:
        return os.read(descriptor, 4096) if select.select([descriptor], [], [], seconds)[0] else b""
    except OSError:
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_on_a_terminal(tmp_path: Path) -> None:
    heard = said(tmp_path, b"set-up?code=", terminal=True)
    assert b"To begin, open within 15 minutes:" in heard
    assert len(URL.findall(heard)) == 1


def test_in_a_log(tmp_path: Path) -> None:
    heard = said(tmp_path, b"to begin", terminal=False)
    assert f"to begin  authsec admin setup-url --data {tmp_path}".encode() in heard
    assert b"code=" not in heard
