"""`authsec serve` where nobody administers yet: the way in stands on a terminal, and in no log."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import processes
import pytest
from authsec_server.accounts.model.sessions import BrowserCaller
from authsec_server.app import open_authority
from authsec_server.settings import Settings
from long_runs import some_of

pytestmark = pytest.mark.usefixtures("not_by_uv")
COMMAND = [sys.executable, "-c", "from authsec_server.cli.serve import serve; serve()", "--port", "0"]
URL = re.compile(rb"http://127\.0\.0\.1:\d+/console/set-up\?code=[A-Za-z0-9_-]{43}")


@pytest.fixture
def not_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are then printed as `authsec …`."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)


def said(data: Path, until: bytes, *, terminal: bool) -> bytes:
    """What the server says, as far as `until` and in the moment after, or until it ends."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if terminal:
            ours, theirs = pty.openpty()
            output = Path(os.ttyname(theirs))
        else:
            output = Path(folder) / "log"
            os.mkfifo(output)
            ours, theirs = (os.open(output, way | os.O_NONBLOCK) for way in (os.O_RDONLY, os.O_WRONLY))
        stack.callback(os.close, ours)
        command = [*COMMAND, "--data", str(data)]
        process = processes.start(command, env=os.environ, cwd=data, output=output, fork=True)
        heard = b""
        try:
            heard += next_part(ours, 30)
            os.close(theirs)  # from here on, the server alone can write
            while part := next_part(ours, 0.5 if until in heard else 30):
                heard += part
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    return heard


def next_part(descriptor: int, seconds: float) -> bytes:
    """What comes within that time; nothing if the other end is closed, which a terminal reports as an error."""
    try:
        return os.read(descriptor, 4096) if select.select([descriptor], [], [], seconds)[0] else b""
    except OSError:
        return b""  # the other end is closed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_on_a_terminal(tmp_path: Path) -> None:
    heard = said(tmp_path, b"set-up?code=", terminal=True)
    assert b"To begin, open the address below." in heard
    assert (
        f"For a new address, run in another terminal: authsec admin setup-url --data {tmp_path}\r\n".encode() in heard
    )
    assert len(URL.findall(heard)) == 1
    assert URL.search(heard.rstrip().rpartition(b"\n")[2]), "the address is the last thing on the screen"


@pytest.mark.soak  # a start on a terminal is in every run
def test_in_a_log(tmp_path: Path) -> None:
    heard = said(tmp_path, b"to begin", terminal=False)
    assert f"to begin  authsec admin setup-url --data {tmp_path}".encode() in heard
    assert b"code=" not in heard


@pytest.mark.parametrize("terminal", some_of([False, True], each=2))
def test_where_the_console_refuses_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_PUBLIC_URL", "http://authsec.example.com")
    heard = said(tmp_path, b"terminates", terminal=terminal)
    assert b"! http://authsec.example.com is plain http. The console refuses every request there" in heard
    assert b"to begin" not in heard
    assert b"code=" not in heard


@pytest.mark.soak  # a start on a terminal is in every run
def test_where_another_server_may_have_the_data(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        before = f"http://127.0.0.1:{other.getsockname()[1]}"
        with open_authority(Settings(data=tmp_path)) as authority:
            authority.remember_issuer(before)
        heard = said(tmp_path, b"to begin", terminal=False).decode()
        assert f"! Something answers at {before}, where this data was last served." in heard
        assert "--public-url" in heard
    assert "Something answers" not in said(tmp_path, b"to begin", terminal=False).decode(), "it has ended"


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_once_somebody_administers(tmp_path: Path) -> None:
    with open_authority(Settings(data=tmp_path)) as authority:
        link = authority.sign_in.first_link()
        assert link is not None
        caller = BrowserCaller(request_id="req_00000000000000000000test", address="192.0.2.1", user_agent="Browser/1")
        authority.sign_in.set_up_first(
            link.code, email="ann@example.com", name="Ann", password="violet tram kiosk 7", caller=caller
        )
    heard = said(tmp_path, b"console  ", terminal=True)
    assert re.search(rb"  console   http://127\.0\.0\.1:\d+/console\r\n$", heard)
    assert b"code=" not in heard
