"""Checkpoints where the database's administrators cannot write: each once, in order, and nobody waits for them."""

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
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.sinks import AddressSink, CheckpointDelivery, SinkState, checkpoint_delivery
from authsec_server.failures import StartupRefused
from authsec_server.outbound import OutboundLimits
from authsec_server.settings import load_settings
from click.testing import Result
from long_runs import some_of
from starlette.testclient import TestClient
from structlog.testing import capture_logs

MOST = 20  # checkpoints that wait at once
NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
TOKEN = "only-for-the-sink"


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(
        size=size, root="00" * 32, through=size, at=NOW + timedelta(seconds=size), signed=f"checkpoint.of.{size}"
    )


def to_file(path: Path) -> CheckpointDelivery:
    return checkpoint_delivery(str(path), None, None, now=lambda: NOW)  # type: ignore[arg-type]  # a file asks nobody


def test_a_file_gets_a_line_for_each_checkpoint_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    checkpoints = to_file(path)
    for size in (1, 2, 2, 3):
        checkpoints.give(checkpoint(size))
    assert checkpoints.deliver()
    assert path.read_text() == "checkpoint.of.1\ncheckpoint.of.2\ncheckpoint.of.3\n"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("checkpoint.of.1\ncheckpoint.o")  # killed while it wrote, or the disk was full
    again = to_file(path)
    again.give(checkpoint(4))
    assert again.deliver()
    assert path.read_text().splitlines() == ["checkpoint.of.1", "checkpoint.o", "checkpoint.of.4"]


def test_what_was_not_taken_is_told_of_and_tried_again_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "MOST", MOST)
    folder = tmp_path / "mounted"
    checkpoints = to_file(folder / "checkpoints")
    with capture_logs() as said:
        for size in (1, 2):
            checkpoints.give(checkpoint(size))
            assert not checkpoints.deliver()
    assert (checkpoints.state().undelivered_since, len(said)) == (NOW, 1)
    assert "No such file" in checkpoints.state().problem
    folder.mkdir()
    assert checkpoints.deliver()
    assert checkpoints.state().undelivered_since is None
    assert (folder / "checkpoints").read_text() == "checkpoint.of.1\ncheckpoint.of.2\n"
    folder.rename(tmp_path / "gone")
    for size in range(3, MOST + 10):
        checkpoints.give(checkpoint(size))
    assert not checkpoints.deliver()
    (tmp_path / "gone").rename(folder)
    assert checkpoints.deliver()
    lines = (folder / "checkpoints").read_text().splitlines()
    assert (len(lines), lines[-1]) == (MOST + 2, f"checkpoint.of.{MOST + 9}")  # the oldest were let go


def test_a_pipe_or_a_device_never_blocks_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    checkpoints = to_file(path)
    checkpoints.check()
    os.mkfifo(path)
    checkpoints.give(checkpoint(1))
    assert not checkpoints.deliver()  # nobody reads
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert not checkpoints.deliver()
    assert checkpoints.state() == SinkState(sent=True, undelivered_since=NOW, problem=f"{path} is not a regular file")
    assert os.read(reader, 100) == b""
    os.close(reader)
    path.unlink()
    path.symlink_to("/dev/null")
    assert not checkpoints.deliver()
    with pytest.raises(StartupRefused, match="is not a regular file"):
        checkpoints.check()
    path.unlink()
    assert checkpoints.deliver()


def test_a_sink_that_hangs_is_told_of_while_it_hangs() -> None:
    at, told = [NOW], []

    class Hanging:
        def check(self) -> None:
            """It looks as if it worked."""

        def take(self, _: Checkpoint) -> None:
            told.append(checkpoints.state())
            at[0] += sinks.STUCK
            told.append(checkpoints.state())

    checkpoints = CheckpointDelivery(Hanging(), now=lambda: at[0])
    checkpoints.give(checkpoint(1))
    assert checkpoints.deliver()
    told.append(checkpoints.state())
    assert [its.undelivered_since for its in told] == [None, NOW, None]
    assert "without an answer" in told[1].problem


ENDING = """
import anyio, threading
from datetime import UTC, datetime
from authsec_server.audit.sealing.sinks import CheckpointDelivery
from authsec_server.audit.sealing.checkpoints import Checkpoint

handed = threading.Event()

class Hanging:
    def check(self): pass
    def take(self, checkpoint):
        handed.set()
        threading.Event().wait()

async def served(checkpoints):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(checkpoints.run)
        while not handed.is_set():
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

now = datetime.now(UTC)
checkpoints = CheckpointDelivery(Hanging(), now=lambda: now)
checkpoints.give(Checkpoint(size=1, root="00" * 32, through=1, at=now, signed="checkpoint.of.1"))
anyio.run(served, checkpoints)
print("ended")
"""


@pytest.mark.soak
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

        def take(self, _: Checkpoint) -> None:
            """Never asked here."""

    checkpoints = CheckpointDelivery(Hanging(), now=lambda: NOW)
    try:
        checkpoints.check()
        assert not mounted.is_set()
    finally:
        mounted.set()


class Sink:
    """An HTTP server that takes checkpoints, or does what a test tells it to."""

    def __init__(self, peers: Any, peer: Callable[..., Any], tmp_path: Path) -> None:
        self.http = peers.http
        self.instead: Any = None
        self.taken: list[str] = []
        self.peer = peer(self._answer)
        self.token = tmp_path / "token"
        self.token.write_text(f"{TOKEN}\n")
        sink = AddressSink(
            outbound=peers.outbound("127.0.0.1"), url=f"{self.peer.url}/checkpoints?key=hidden", token_file=self.token
        )
        self.checkpoints = CheckpointDelivery(sink, now=lambda: NOW)

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        if callable(self.instead):
            self.instead(connection)
        elif self.instead is not None:
            connection.sendall(self.instead)
        else:
            self.taken.append(json.loads(request.partition(b"\r\n\r\n")[2])["checkpoint"])
            connection.sendall(self.http({}))


@pytest.fixture
def sink(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> Sink:
    return Sink(peers, peer, tmp_path)


def test_an_address_is_posted_each_checkpoint_with_the_token(sink: Sink) -> None:
    for size in (1, 2):
        sink.checkpoints.give(checkpoint(size))
    assert sink.checkpoints.deliver()
    assert sink.taken == ["checkpoint.of.1", "checkpoint.of.2"]
    assert f"authorization: bearer {TOKEN}".encode() in sink.peer.requests[0].lower()


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"H")
        time.sleep(0.05)


def test_one_that_fails_hangs_or_lies_has_taken_nothing(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    http = sink.http
    sink.checkpoints.give(checkpoint(1))
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
        assert not sink.checkpoints.deliver(), why
        told = sink.checkpoints.state().problem
        assert why in told
        assert TOKEN not in told
        assert "hidden" not in told
    sink.instead = None
    for content, why in (("", "one token on one line"), ("-----BEGIN\nKEY-----", "one token on one line")):
        sink.token.write_text(content)
        assert not sink.checkpoints.deliver()
        assert why in sink.checkpoints.state().problem
    sink.token.unlink()
    assert not sink.checkpoints.deliver()
    sink.token.write_text(TOKEN)
    assert sink.checkpoints.deliver()
    assert (sink.taken, sink.checkpoints.state().undelivered_since) == (["checkpoint.of.1"], None)


def test_a_server_sends_what_it_signs_and_says_since_when_it_cannot(
    tmp_path: Path, authsec: Callable[..., Result]
) -> None:
    folder, keys = tmp_path / "mounted", tmp_path / "keys"
    folder.mkdir()
    keys.write_text(authsec("audit", "keys").stdout)
    settings = load_settings(data=tmp_path, audit_checkpoints=str(folder / "checkpoints"))
    with (
        open_authority(settings, local_operator=True) as authority,
        TestClient(authority.app, base_url="http://127.0.0.1") as client,
    ):
        wait_until(lambda: (folder / "checkpoints").exists())
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"})
        wait_until(
            lambda: (
                client.get("/authsec/api/v1/events/checkpoint").json()["checkpoint"]
                in (folder / "checkpoints").read_text()
            )
        )
        assert client.get("/authsec/api/v1/events/checkpoint").json()["elsewhere"]["sent"] is True
        folder.rename(tmp_path / "gone")
        client.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
        wait_until(lambda: "audit_checkpoints_undelivered_since" in client.get("/readyz").json())
        told = client.get("/authsec/api/v1/events/checkpoint").json()["elsewhere"]
        assert told["undelivered_since"]
        assert "No such file" in told["problem"]
        assert client.get("/readyz").status_code == 200  # agents get their tokens as before
    checked = authsec("audit", "verify", "--key", str(keys), "--checkpoint", str(tmp_path / "gone" / "checkpoints"))
    assert checked.exit_code == 0, checked.output


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "where",
    some_of(
        [
            "",
            "nowhere/checkpoints",
            "/dev/null",
            "x" * 300,
            "http://sink.example/checkpoints?key=hidden",
            "ftp://sink.example/",
        ]
    ),
)
def test_a_server_does_not_start_where_no_checkpoint_can_ever_be_taken(tmp_path: Path, where: str) -> None:
    settings = load_settings(data=tmp_path, audit_checkpoints=where if "://" in where else str(tmp_path / where))
    with pytest.raises(StartupRefused) as refused, open_authority(settings):
        pass
    assert "AUDIT_CHECKPOINTS" in refused.value.message
    assert "hidden" not in refused.value.message + refused.value.remedy + repr(settings)


def test_a_server_appends_nothing_to_a_file_that_has_something_else_in_it(tmp_path: Path) -> None:
    """Somebody names the file with the saved public keys. Afterwards nobody could read these."""
    file = tmp_path / "keys.json"
    file.write_text('{"keys": []}\n')
    settings = load_settings(data=tmp_path, audit_checkpoints=str(file))
    with pytest.raises(StartupRefused, match="contains something other than checkpoints"), open_authority(settings):
        pass
    assert file.read_text() == '{"keys": []}\n'


@pytest.mark.parametrize("content", ["", "\n", "eyJh.eyJi.c2ln\n", "eyJh.eyJi", "# mine\neyJh.eyJi.c2ln\n"])
def test_a_file_that_a_server_may_have_written_is_taken(tmp_path: Path, content: str) -> None:
    file = tmp_path / "checkpoints"
    file.write_text(content)
    with open_authority(load_settings(data=tmp_path, audit_checkpoints=str(file))):
        pass
