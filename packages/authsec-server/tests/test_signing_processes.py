"""Tokens are signed in processes of their own. Whatever becomes of these, nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec.jose import PrivateKey
from authsec_server.failures import Unavailable
from authsec_server.keys import signing_process, signing_processes
from authsec_server.keys.signing_process import HOLD, frame
from authsec_server.keys.signing_processes import SigningProcesses
from served_process import served

KID = "key-1"
on_each = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True
)


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate_rsa()


@contextmanager
def running(count: int, keys: dict[str, PrivateKey]) -> Iterator[SigningProcesses]:
    its = SigningProcesses(count, keys.get)
    try:
        its.start()
        yield its
    finally:
        its.close()


def children(parent: int | None = None) -> list[int]:
    """The signing processes of this or another process."""
    found = []
    for each in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if each.name.isdigit() and b"signing_process" in (each / "cmdline").read_bytes():
                of = (each / "stat").read_text("ascii").rpartition(")")[2].split()[1]
                found += [int(each.name)] if int(of) == (parent or os.getpid()) else []
    return sorted(found)


def started_process() -> int:
    """The one signing process. For a moment after it is started, its command line is empty."""
    while not (found := children()):
        time.sleep(0.01)
    (process,) = found
    return process


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def signed(its: SigningProcesses, signing_input: bytes, kid: str = KID) -> bytes:
    future = its.sign(kid, signing_input)
    assert future is not None
    return await asyncio.wait_for(future, 20)


@pytest.mark.parametrize(("make", "octets"), [(PrivateKey.generate_ec, 64), (PrivateKey.generate_ed25519, 64)])
def test_a_process_signs_with_every_kind_of_key(make: Callable[[], PrivateKey], octets: int) -> None:
    other = make()
    inputs = [b"a.%d" % number for number in range(600)]  # r or s of ES256 begins with a zero octet now and then

    async def all_of_them(its: SigningProcesses) -> list[bytes]:
        return await asyncio.gather(*(signed(its, each) for each in inputs))

    with running(1, {KID: other}) as its:
        signatures = asyncio.run(all_of_them(its))
    for signing_input, signature in zip(inputs, signatures, strict=True):
        assert len(signature) == octets
        other.public.verify(signing_input, signature, other.algorithm)


def test_each_caller_gets_the_signature_of_its_own_input(key: PrivateKey) -> None:
    other = PrivateKey.generate_rsa()
    inputs = [f"header.{number:04}{'x' * (number * 40)}".encode() for number in range(60)]

    async def all_of_them(its: SigningProcesses) -> list[bytes]:
        return await asyncio.gather(*(signed(its, each, (KID, "key-2")[at % 2]) for at, each in enumerate(inputs)))

    with running(2, {KID: key, "key-2": other}) as its:
        signatures = asyncio.run(all_of_them(its))
    for at, (signing_input, signature) in enumerate(zip(inputs, signatures, strict=True)):
        (key, other)[at % 2].public.verify(signing_input, signature, "RS256")


def test_who_waits_for_a_process_that_is_killed_is_told_and_another_process_signs(
    key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_processes, "RESTART_SECONDS", 0.0)

    async def kill(its: SigningProcesses) -> bytes:
        await signed(its, b"a.b")
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        waiting = its.sign(KID, b"c.d")
        assert waiting is not None
        await asyncio.sleep(0.05)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 20)
        assert children() != [process]
        return await signed(its, b"e.f")

    with running(1, {KID: key}) as its:
        key.public.verify(b"e.f", asyncio.run(kill(its)), "RS256")


def test_a_process_that_hangs_is_replaced(key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_processes, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(signing_processes, "RESTART_SECONDS", 0.0)

    async def freeze(its: SigningProcesses) -> bytes:
        process = started_process()
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await signed(its, b"a.b")
        monkeypatch.setattr(signing_processes, "SILENT_SECONDS", 20.0)  # the next one must first start
        return await signed(its, b"c.d")

    with running(1, {KID: key}) as its:
        key.public.verify(b"c.d", asyncio.run(freeze(its)), "RS256")


def test_a_key_that_is_not_held_any_more_signs_nothing(key: PrivateKey) -> None:
    keys = {KID: key}

    async def forget(its: SigningProcesses) -> None:
        await signed(its, b"a.b")
        keys.clear()
        its.hold_only([])
        assert its.sign(KID, b"c.d") is None, "the server has it no more"
        await asyncio.sleep(0)
        keys[KID] = PrivateKey.generate_rsa()
        keys[KID].public.verify(b"e.f", await signed(its, b"e.f"), "RS256")

    with running(1, keys) as its:
        asyncio.run(forget(its))


def test_they_end_with_the_server(key: PrivateKey) -> None:
    with running(2, {KID: key}) as its:
        asyncio.run(signed(its, b"a.b"))
        assert len(children()) == 2
    assert children() == []


def test_nothing_of_the_server_is_in_them() -> None:
    program = "import authsec_server.keys.signing_process, sys; print(*sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    ours = [each for each in said if each.startswith("authsec")]
    assert ours == ["authsec_server", "authsec_server.keys", "authsec_server.keys.signing_process"]
    assert not {"sqlalchemy", "sqlite3", "psycopg", "uvicorn", "starlette"} & {*said}


@pytest.mark.soak  # of two processes, one is killed in every run, and the other signs
@on_each
def test_agents_go_on_while_signing_processes_are_killed(estate: Any, database_url: str, tmp_path: Path) -> None:
    estate.role()
    client_id = estate.agent().id
    estate.delegate()
    statuses: list[int] = []
    with served(database_url, tmp_path, AUTHSEC_SERVER_SIGNERS="2") as its, ThreadPoolExecutor(4) as threads:
        its.token(client_id)
        until = time.monotonic() + 3

        def ask() -> None:
            while time.monotonic() < until:
                with suppress(httpx2.TransportError):
                    statuses.append(its.token(client_id).status_code)
                time.sleep(0.05)

        asking = [threads.submit(ask) for _ in range(4)]
        before = children(its.process.pid)
        assert len(before) == 2
        environment = Path(f"/proc/{before[0]}/environ").read_bytes()
        assert b"AUTHSEC_SERVER" not in environment
        time.sleep(0.5)
        for each in before:
            os.kill(each, signal.SIGKILL)
        for each in asking:
            each.result()
        assert its.token(client_id).status_code == 200
        after = children(its.process.pid)
        assert len(after) == 2
        assert not {*after} & {*before}
        its.process.kill()
        its.process.wait(10)
        gone = time.monotonic() + 10
        while any(map(is_there, after)) and time.monotonic() < gone:
            time.sleep(0.02)
        assert not any(map(is_there, after)), "they end with the server, however it ends"
    assert set(statuses) == {200}, "the server itself signs what they do not"
    assert len(statuses) > 10


@on_each
def test_a_signal_to_the_whole_group_lets_the_server_finish(estate: Any, database_url: str, tmp_path: Path) -> None:
    """A terminal and a service manager send their signal to all processes."""
    estate.role()
    client_id = estate.agent().id
    estate.delegate()
    with served(database_url, tmp_path, AUTHSEC_SERVER_SIGNERS="1", AUTHSEC_SERVER_DRAIN_SECONDS="1") as its:
        its.token(client_id)
        for each in [*children(its.process.pid), its.process.pid]:
            os.kill(each, signal.SIGTERM)
        assert its.token(client_id).status_code == 200, "the server drains, and still signs"
        assert its.process.wait(20) == 0


def test_an_error_of_the_process_is_one_line_without_its_message() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        command = [sys.executable, "-m", signing_process.__name__, str(its.fileno())]
        with subprocess.Popen(command, pass_fds=[its.fileno()], stderr=subprocess.PIPE, text=True) as process:
            ours.sendall(frame(HOLD, 1, b"key-1", b"a part of a key"))
            _, said = process.communicate(timeout=30)
    line = json.loads(said)
    assert (process.returncode, line["event"], line["error"]) == (1, "a signing process failed", "ValueError")
    assert "a part of a key" not in said
