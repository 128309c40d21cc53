"""Sign tokens in separate processes, to use all cores. Signing is the slowest step of a token request.

A process gets only the private keys that the server sends, and no other data of the server. If a process ends or
hangs, its pending signatures fail with an error, and the server starts another process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import structlog
from authsec.jose import PrivateKey

from authsec_server.failures import Unavailable
from authsec_server.keys import signing_process
from authsec_server.keys.signing_process import FORGET, HOLD, SIGN, answers_in, frame

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 2**20  # octets that one process has not read: far more than all requests in progress
RESTART_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 5.0  # after this time a process hangs: a signature takes half a millisecond at most
END_SECONDS: Final = 2.0
_AT_ONCE: Final = 2**16  # octets


@dataclass(slots=True)
class _Process:
    """A running signing process, the server's end of the socket, and the futures of the pending signatures."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    held: set[str] = field(default_factory=set)
    waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    unsent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    is_read: bool = False
    is_written: bool = False
    heard_at: float = 0.0  # monotonic; the last answer, or the first request after it
    timer: asyncio.TimerHandle | None = None


class SigningProcesses:
    """A number of signing processes. Call `sign` only in one event loop. Other methods may be called in any thread.

    `key_of` returns the private key with a name, or None if the key is not in memory.
    """

    def __init__(self, count: int, key_of: Callable[[str], PrivateKey | None]) -> None:
        self._count = count
        self._key_of = key_of
        self._running: list[_Process] = []
        self._number = 0
        self._start_at = float("-inf")
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the processes, before the first request."""
        while len(self._running) < self._count:
            self._running.append(_started())

    def close(self) -> None:
        """End the processes. Pending signatures fail with `Unavailable`."""
        self._closed = True
        for each in [*self._running]:
            self._end(each)
            _await_end(each.process)

    def sign(self, kid: str, signing_input: bytes) -> asyncio.Future[bytes] | None:
        """Return a future with the signature of this key. Return None if no process runs or the key is not in memory.

        The future raises `Unavailable` if the process ends.
        """
        if len(self._running) < self._count:
            self._restart()
        key = self._key_of(kid)
        its = min(self._running, key=lambda each: len(each.waiting), default=None)
        if key is None or its is None or len(its.unsent) > MOST_WAITING:
            return None
        loop = self._loop = asyncio.get_running_loop()
        self._watch(loop, its)
        if kid not in its.held:
            its.unsent += frame(HOLD, 0, kid.encode(), key.to_pem())
            its.held.add(kid)
        self._number += 1
        its.waiting[self._number] = future = loop.create_future()
        its.unsent += frame(SIGN, self._number, kid.encode(), signing_input)
        if not its.is_written:
            its.is_written = True
            loop.call_soon(self._write, loop, its)  # one write for all requests of this turn of the event loop
        return future

    def _watch(self, loop: asyncio.AbstractEventLoop, its: _Process) -> None:
        """Read the answers of this process, and start the timer that detects a hanging process."""
        if not its.is_read:
            its.is_read = True
            loop.add_reader(its.socket, self._read, loop, its)
        if not its.waiting:
            its.heard_at = monotonic()
        if its.timer is None:
            its.timer = loop.call_later(SILENT_SECONDS, self._look, loop, its)

    def _look(self, loop: asyncio.AbstractEventLoop, its: _Process) -> None:
        its.timer = None
        if its not in self._running or not its.waiting:
            return
        if monotonic() - its.heard_at >= SILENT_SECONDS:
            self._lost(loop, its)
        else:
            its.timer = loop.call_later(SILENT_SECONDS, self._look, loop, its)

    def hold_only(self, kids: Collection[str]) -> None:
        """Delete all keys except `kids` from the processes, before any later request is signed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hold_only, {*kids})

    def _hold_only(self, kids: set[str]) -> None:
        for each in self._running:
            for kid in each.held - kids:
                each.held.discard(kid)
                each.unsent += frame(FORGET, 0, kid.encode(), b"")
            if each.unsent and not each.is_written and self._loop is not None:
                self._write(self._loop, each)

    def _restart(self) -> None:
        if self._closed or monotonic() < self._start_at:
            return
        self._start_at = monotonic() + RESTART_SECONDS
        try:
            self._running.append(_started())
        except OSError as error:
            log.error("a signing process could not be started", error=error.strerror)

    def _write(self, loop: asyncio.AbstractEventLoop, its: _Process) -> None:
        if its not in self._running:
            return
        try:
            del its.unsent[: its.socket.send(its.unsent)]
        except BlockingIOError:
            pass  # the socket is full: the event loop calls again
        except OSError:
            self._lost(loop, its)
            return
        if its.unsent:
            loop.add_writer(its.socket, self._write, loop, its)
        else:
            loop.remove_writer(its.socket)
            its.is_written = False

    def _read(self, loop: asyncio.AbstractEventLoop, its: _Process) -> None:
        try:
            octets = its.socket.recv(_AT_ONCE)
        except BlockingIOError:
            return  # there is nothing to read yet
        except OSError:
            octets = b""  # handled like the end of the process
        if not octets:
            self._lost(loop, its)
            return
        its.heard_at = monotonic()
        its.unread += octets
        for number, signature in answers_in(its.unread):
            future = its.waiting.pop(number)
            if future.done():
                continue
            if signature:
                future.set_result(signature)
            else:
                future.set_exception(Unavailable("The signing process has no such key."))

    def _lost(self, loop: asyncio.AbstractEventLoop, its: _Process) -> None:
        log.error("a signing process has ended, and another one takes its place", process=its.process.pid)
        loop.remove_reader(its.socket)
        loop.remove_writer(its.socket)
        its.process.kill()  # it may only have closed its socket
        self._end(its)
        _await_end(its.process)
        self._restart()

    def _end(self, its: _Process) -> None:
        if its in self._running:
            self._running.remove(its)
        its.socket.close()
        for future in its.waiting.values():
            with suppress(asyncio.InvalidStateError, RuntimeError):  # no caller waits, or the event loop is closed
                future.set_exception(Unavailable("The signing process has ended."))
        its.waiting.clear()


def _started() -> _Process:
    ours, its = socket.socketpair()
    with its:
        its.set_inheritable(True)
        command = [sys.executable, "-m", signing_process.__name__, str(its.fileno())]
        settings = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC_")}
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, env=settings
        )
    ours.setblocking(False)
    return _Process(process, ours)


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that ends by itself, because its socket was closed."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
