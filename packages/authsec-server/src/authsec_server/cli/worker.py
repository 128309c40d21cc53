"""The worker's side of `authsec serve --workers`: messages between a worker and its supervisor.

A worker inherits the listening socket and one end of a pair of sockets. The supervisor (`supervisor`) writes the
number of the worker and the options of the command, and later `DRAIN` or `STOP`. The worker writes `READY` when it
accepts requests, and again each second as a sign of life. The socket closes when the supervisor ends. The worker then
drains and exits, because nobody else would stop it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

DRAIN: Final = b"D"
STOP: Final = b"S"
READY: Final = b"R"
FINISH_SECONDS: Final = 15  # for open requests, after the port is closed
LAST_SECONDS: Final = 5  # then for the exit; together less than the 30 s after which Kubernetes kills a process
_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """The supervisor's first message to a worker. Only the first worker process of all `greets`."""

    number: int
    greets: bool
    options: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return the message as bytes for `read_start`. Paths become texts."""
        text = json.dumps([self.number, self.greets, self.options], default=str).encode()
        return _LENGTH.pack(len(text)) + text


def read_start(control: socket.socket) -> WorkerStart:
    """Wait for the first message of the supervisor. Raises `EOFError` if the supervisor has ended."""
    (length,) = _LENGTH.unpack(_read(control, _LENGTH.size))
    number, greets, options = json.loads(_read(control, length))
    return WorkerStart(number=number, greets=greets, options=options)


def _read(control: socket.socket, length: int) -> bytes:
    octets = b""
    while len(octets) < length:
        part = control.recv(length - len(octets))
        if not part:
            raise EOFError
        octets += part
    return octets


class Worker:
    """This worker process. `listener` is the inherited port; `control` is the socket to the supervisor."""

    def __init__(self, start: WorkerStart, listener: socket.socket, control: socket.socket) -> None:
        self.number = start.number
        self.greets = start.greets
        self.listener = listener
        self._control = control
        self._lock = threading.Lock()
        self._drain: Callable[[], None] = _end_at_once
        self._stop: Callable[[], None] = _end_at_once

    def watch(self) -> None:
        """Start a thread that obeys the supervisor, even while the event loop hangs."""
        threading.Thread(target=self._obey, name="authsec-supervisor-watch", daemon=True).start()

    def say_ready(self) -> None:
        """Tell the supervisor that this process accepts requests. The call never blocks."""
        with suppress(OSError):  # the supervisor has ended (the thread handles this), or reads nothing
            self._control.send(READY, socket.MSG_DONTWAIT)

    def serve_until(self, drain: Callable[[], None], stop: Callable[[], None]) -> None:
        """Set the functions that another thread calls when the supervisor sends `DRAIN` or `STOP`."""
        with self._lock:
            self._drain, self._stop = drain, stop

    def _obey(self) -> None:
        while True:
            try:
                said = self._control.recv(1)
            except OSError:
                said = b""
            with self._lock:
                (self._stop if said == STOP else self._drain)()
            if not said:
                return


def _end_at_once() -> None:
    """End this process with SIGTERM, because it does not serve yet."""
    os.kill(os.getpid(), signal.SIGTERM)
