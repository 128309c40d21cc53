"""Heads where the database's administrators cannot write: each once, in order, and nobody waits for who takes them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from authsec_server.app import open_authority
from authsec_server.audit.sealing import sinks
from authsec_server.audit.sealing.heads import Head
from authsec_server.audit.sealing.sinks import HeadsElsewhere, SinkState, ToAddress, heads_elsewhere
from authsec_server.failures import StartupRefused
from authsec_server.outbound import OutboundLimits
from authsec_server.settings import load_settings
from click.testing import Result
from starlette.testclient import TestClient
from structlog.testing import capture_logs

MOST = 20  # heads that wait at once
NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
TOKEN = "only-for-the-sink"


def head(size: int) -> Head:
    return Head(size=size, root="00" * 32, through=size, at=NOW + timedelta(seconds=size), signed=f"head.of.{size}")


def to_file(path: Path) -> HeadsElsewhere:
    return heads_elsewhere(str(path), None, None, now=lambda: NOW)  # type: ignore[arg-type]  # a file asks nobody


def test_a_file_gets_a_line_for_each_head_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    heads = to_file(path)
    for size in (1, 2, 2, 3):
        heads.give(head(size))
    assert heads.deliver()
    assert path.read_text() == "head.of.1\nhead.of.2\nhead.of.3\n"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("head.of.1\nhead.o")  # killed while it wrote, or the disk was full
    again = to_file(path)
    again.give(head(4))
    assert again.deliver()
    assert path.read_text().splitlines() == ["head.of.1", "head.o", "head.of.4"]


def test_what_was_not_taken_is_told_of_and_tried_again_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "MOST", MOST)
    folder = tmp_path / "mounted"
    heads = to_file(folder / "heads")
    with capture_logs() as said:
        for size in (1, 2):
            heads.give(head(size))
            assert not heads.deliver()
    assert (heads.standing().undelivered_since, len(said)) == (NOW, 1)
    assert "No such file" in heads.standing().problem
    folder.mkdir()
    assert heads.deliver()
    assert heads.standing().undelivered_since is None
    assert (folder / "heads").read_text() == "head.of.1\nhead.of.2\n"
    folder.rename(tmp_path / "gone")
    for size in range(3, MOST + 10):
        heads.give(head(size))
    assert not heads.deliver()
    (tmp_path / "gone").rename(folder)
    assert heads.deliver()
    lines = (folder / "heads").read_text().splitlines()
    assert (len(lines), lines[-1]) == (MOST + 2, f"head.of.{MOST + 9}")  # the oldest were let go


def test_a_pipe_or_a_device_never_blocks_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    heads = to_file(path)
    heads.check()
    os.mkfifo(path)
    heads.give(head(1))
    assert not heads.deliver()  # nobody reads
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert not heads.deliver()
    assert heads.standing() == SinkState(sent=True, undelivered_since=NOW, problem=f"{path} is no regular file")
    assert os.read(reader, 100) == b""
    os.close(reader)
    path.unlink()
    path.symlink_to("/dev/null")
    assert not heads.deliver()
    with pytest.raises(StartupRefused, match="cannot be a regular file"):
        heads.check()
    path.unlink()
    assert heads.deliver()


def test_a_sink_that_hangs_is_told_of_while_it_hangs() -> None:
    at, told = [NOW], []

    class Hanging:
        def check(self) -> None:
            """It looks as if it worked."""

        def take(self, _: Head) -> None:
            told.append(heads.standing())
            at[0] += sinks.STUCK
            told.append(heads.standing())

    heads = HeadsElsewhere(Hanging(), now=lambda: at[0])
    heads.give(head(1))
    assert heads.deliver()
    told.append(heads.standing())
    assert [its.undelivered_since for its in told] == [None, NOW, None]
    assert "no answer" in told[1].problem


ENDING = """
import anyio, threading
from datetime import UTC, datetime
from authsec_server.audit.sealing.sinks import HeadsElsewhere
from authsec_server.audit.sealing.heads import Head

handed = threading.Event()

class Hanging:
    def check(self): pass
    def take(self, head):
        handed.set()
        threading.Event().wait()

async def served(heads):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heads.run)
        while not handed.is_set():
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

now = datetime.now(UTC)
heads = HeadsElsewhere(Hanging(), now=lambda: now)
heads.give(Head(size=1, root="00" * 32, through=1, at=now, signed="head.of.1"))
anyio.run(served, heads)
print("ended")
"""


def test_a_sink_that_hangs_for_ever_keeps_neither_server_nor_process_from_ending() -> None:
    """A mount whose server is gone: what was begun there never comes back, and nothing can end it."""
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_a_mount_that_hangs_does_not_keep_a_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "CHECK_SECONDS", 0.1)
    mounted = Event()

    class Hanging:
        def check(self) -> None:
            mounted.wait()

        def take(self, _: Head) -> None:
            """Never asked here."""

    heads = HeadsElsewhere(Hanging(), now=lambda: NOW)
    try:
        heads.check()
        assert not mounted.is_set()
    finally:
        mounted.set()


class Sink:
    """An HTTP server that takes heads, or does what a test tells it to."""

    def __init__(self, peers: Any, peer: Callable[..., Any], tmp_path: Path) -> None:
        self.http = peers.http
        self.instead: Any = None
        self.taken: list[str] = []
        self.peer = peer(self._answer)
        self.token = tmp_path / "token"
        self.token.write_text(f"{TOKEN}\n")
        sink = ToAddress(
            outbound=peers.outbound("127.0.0.1"), url=f"{self.peer.url}/heads?key=hidden", token_file=self.token
        )
        self.heads = HeadsElsewhere(sink, now=lambda: NOW)

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        if callable(self.instead):
            self.instead(connection)
        elif self.instead is not None:
            connection.sendall(self.instead)
        else:
            self.taken.append(json.loads(request.partition(b"\r\n\r\n")[2])["head"])
            connection.sendall(self.http({}))


@pytest.fixture
def sink(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> Sink:
    return Sink(peers, peer, tmp_path)


def test_an_address_is_posted_each_head_with_the_token(sink: Sink) -> None:
    for size in (1, 2):
        sink.heads.give(head(size))
    assert sink.heads.deliver()
    assert sink.taken == ["head.of.1", "head.of.2"]
    assert f"authorization: bearer {TOKEN}".encode() in sink.peer.requests[0].lower()


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"H")
        time.sleep(0.05)


def test_one_that_fails_hangs_or_lies_has_taken_nothing(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    http = sink.http
    sink.heads.give(head(1))
    for instead, why in (
        (http({}, status="500 Oops"), "the status 500"),
        (http({}, "Location: https://elsewhere.example/", status="307 There"), "redirects"),
        (http(b"x" * 5000), "larger than"),
        (http({}, "Content-Encoding: gzip"), "compressed"),
        (hang, "127.0.0.1"),
        (drip, "127.0.0.1"),
        (b"", "broke before"),
    ):
        sink.instead = instead
        seconds = 0.3 if callable(instead) else 10.0
        monkeypatch.setattr(sinks, "_LIMITS", OutboundLimits(seconds=seconds, max_bytes=1000))
        assert not sink.heads.deliver(), why
        told = sink.heads.standing().problem
        assert why in told
        assert TOKEN not in told
        assert "hidden" not in told
    sink.instead = None
    for content, why in (("", "one token on one line"), ("-----BEGIN\nKEY-----", "one token on one line")):
        sink.token.write_text(content)
        assert not sink.heads.deliver()
        assert why in sink.heads.standing().problem
    sink.token.unlink()
    assert not sink.heads.deliver()
    sink.token.write_text(TOKEN)
    assert sink.heads.deliver()
    assert (sink.taken, sink.heads.standing().undelivered_since) == (["head.of.1"], None)


def test_a_server_sends_what_it_signs_and_says_since_when_it_cannot(
    tmp_path: Path, authsec: Callable[..., Result]
) -> None:
    folder, keys = tmp_path / "mounted", tmp_path / "keys"
    folder.mkdir()
    keys.write_text(authsec("audit", "keys").stdout)
    settings = load_settings(data=tmp_path, audit_heads=str(folder / "heads"))
    with (
        open_authority(settings, local_operator=True) as authority,
        TestClient(authority.app, base_url="http://127.0.0.1") as client,
    ):
        wait_until(lambda: (folder / "heads").exists())
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"})
        wait_until(lambda: client.get("/authsec/api/v1/events/head").json()["head"] in (folder / "heads").read_text())
        assert client.get("/authsec/api/v1/events/head").json()["elsewhere"]["sent"] is True
        folder.rename(tmp_path / "gone")
        client.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
        wait_until(lambda: "audit_heads_undelivered_since" in client.get("/readyz").json())
        told = client.get("/authsec/api/v1/events/head").json()["elsewhere"]
        assert told["undelivered_since"]
        assert "No such file" in told["problem"]
        assert client.get("/readyz").status_code == 200  # agents get their tokens as before
    checked = authsec("audit", "verify", "--key", str(keys), "--head", str(tmp_path / "gone" / "heads"))
    assert checked.exit_code == 0, checked.output


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "where",
    ["", "nowhere/heads", "/dev/null", "x" * 300, "http://sink.example/heads?key=hidden", "ftp://sink.example/"],
)
def test_a_server_does_not_start_where_no_head_can_ever_be_taken(tmp_path: Path, where: str) -> None:
    settings = load_settings(data=tmp_path, audit_heads=where if "://" in where else str(tmp_path / where))
    with pytest.raises(StartupRefused) as refused, open_authority(settings):
        pass
    assert "AUDIT_HEADS" in refused.value.message
    assert "hidden" not in refused.value.message + refused.value.remedy + repr(settings)
