"""`authsec serve --workers`: several server processes on one port, for PostgreSQL.

The supervisor binds the port, starts the workers, starts one again that has ended or hangs, and passes on SIGTERM and
Ctrl-C. It has no key and no connection to the database. All workers accept connections from the one inherited socket,
so a worker that ends keeps no connection waiting.

The other workers start once the first one is ready: the first one migrates the database, makes the first keys, and
prints the problem if a setting is wrong.
"""

from __future__ import annotations

import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from authsec_server.cli import worker_process
from authsec_server.cli.listener import LOOPBACK, listen, metrics_refused
from authsec_server.cli.logs import configure_logging
from authsec_server.cli.worker import DRAIN, FINISH_SECONDS, LAST_SECONDS, READY, STOP, WorkerStart
from authsec_server.failures import StartupRefused
from authsec_server.settings import Settings

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 0.5  # seconds until a worker that has ended is started again
LONGEST_PAUSE: Final = 8.0
SILENT_SECONDS: Final = 30.0  # a worker that has not said for so long that it works is killed and started again
SECOND_CHANCE: Final = 2.0  # seconds more, since a pause of the whole machine makes all workers silent
STEADY_SECONDS: Final = 60.0  # a worker that served for so long may be started again after the first pause
_SIGNALS: Final = {signal.SIGTERM: DRAIN, signal.SIGINT: STOP}
_HIGHEST_PORT: Final = 65_535


def supervise(settings: Settings, options: Mapping[str, Any]) -> int:
    """Serve with several workers until SIGTERM or Ctrl-C, and return the exit status. Raises `StartupRefused`.

    `options` are those of the command, from which each worker loads the settings again.
    """
    if sys.platform == "win32":
        raise StartupRefused("On Windows, AuthSec serves with one process.", "Leave out --workers.")
    if settings.sqlite_file is not None:
        raise StartupRefused(
            f"SQLite has one writer, so {settings.workers} workers issue no more tokens than one.",
            "Use PostgreSQL (--database postgresql://…), or leave out --workers.",
        )
    settings.issuer  # noqa: B018 - it raises
    configure_logging(settings.log_format)
    with listen(settings.host, settings.port) as listener:
        _check_metrics_ports(settings)
        return _Supervisor(settings, options, listener).run()


def _check_metrics_ports(settings: Settings) -> None:
    """Raise `StartupRefused` if a worker could not listen at its metrics port: else that worker would never start."""
    if not settings.metrics_port:
        return
    ports = settings.metrics_ports
    if ports[-1] > _HIGHEST_PORT:
        raise StartupRefused(
            f"The metrics ports of {settings.workers} workers would be {ports[0]} to {ports[-1]}.",
            "Choose a lower port: --metrics-port.",
        )
    for port in ports:
        try:
            socket.create_server((LOOPBACK, port)).close()
        except OSError as error:
            raise metrics_refused(port, error) from None


@dataclass(slots=True)
class _Slot:
    """A worker's number, and its present process. `start_at` is monotonic; None while the process runs."""

    number: int
    start_at: float | None = None
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    began: float = 0.0
    is_ready: bool = False
    heard_at: float = 0.0  # when it has last said that it works
    is_suspected: bool = False  # it was silent for too long
    pause: float = 0.0  # the last one; 0 if there was none


class _Supervisor:
    def __init__(self, settings: Settings, options: Mapping[str, Any], listener: socket.socket) -> None:
        self._options = {name: value for name, value in options.items() if value is not None}
        self._drain_seconds = settings.drain_seconds
        self._listener = listener
        self._slots = [_Slot(number) for number in range(1, settings.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._said: list[bytes] = []  # by signals, not yet passed on
        self._has_served = False
        self._kill_at: float | None = None  # monotonic; None until the workers are told to end
        self._status = 0

    def run(self) -> int:
        """Return the exit status: of the first worker if it could not start, 1 if a worker did not end well."""
        with self._selector, self._signals():
            self._slots[0].start_at = time.monotonic()
            while True:
                self._start_due()
                self._wait()
                for said in self._said:
                    self._end(said)
                self._said.clear()
                for slot in self._slots:
                    self._look_at(slot)
                if not any(slot.process for slot in self._slots) and (self._kill_at or not self._has_served):
                    return self._status

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Note signals, and wake up `_wait`: for SIGCHLD as well, which a process that ends sends."""
        with ExitStack() as stack:
            ours, theirs = (stack.enter_context(each) for each in socket.socketpair())
            for each in (ours, theirs):
                each.setblocking(False)
            self._selector.register(ours, selectors.EVENT_READ)
            before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, before)
            for number in (*_SIGNALS, signal.SIGCHLD):
                stack.callback(signal.signal, number, signal.signal(number, self._note) or signal.SIG_DFL)
            yield

    def _note(self, number: int, _frame: object) -> None:
        if number in _SIGNALS:
            # A second SIGTERM skips the wait, as with one process.
            self._said.append(STOP if self._kill_at is not None else _SIGNALS[signal.Signals(number)])

    def _wait(self) -> None:
        """Wait for a signal, for what a worker says, or until something is due."""
        due = [slot.start_at for slot in self._slots if slot.start_at is not None]
        if self._kill_at is not None:
            due.append(self._kill_at)
        else:
            due += [slot.heard_at + SILENT_SECONDS for slot in self._slots if slot.process and slot.is_ready]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        for key, _ in self._selector.select(wait):
            control = key.fileobj
            assert isinstance(control, socket.socket)
            try:
                said = control.recv(4096)
            except OSError:  # the worker has ended before it read all
                said = b""
            if key.data is None:
                continue  # the number of a signal
            if READY in said:
                self._is_ready(key.data)
            elif not said:
                self._selector.unregister(control)

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= now:
                slot.start_at = None
                self._start(slot, now)

    def _start(self, slot: _Slot, now: float) -> None:
        try:
            slot.process, slot.control = self._started(slot.number)
        except OSError as error:
            if not self._has_served:
                raise StartupRefused(f"A worker could not be started: {error.strerror}.") from None
            self._restart_later(slot, now, problem=error.strerror)
            return
        slot.began, slot.is_ready, slot.is_suspected = now, False, False
        self._selector.register(slot.control, selectors.EVENT_READ, slot)
        start = WorkerStart(number=slot.number, greets=not self._has_served, options=self._options)
        with suppress(OSError):  # it has ended already
            slot.control.sendall(start.to_bytes())

    def _started(self, number: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a worker. Return its process and our end of its pair of sockets. Raises `OSError`."""
        with ExitStack() as stack:
            ours, its = (stack.enter_context(each) for each in socket.socketpair())
            files = [self._listener.fileno(), its.fileno()]
            command = [sys.executable, "-P", "-m", worker_process.__name__, str(number), *map(str, files)]
            # In a session of its own: Ctrl-C at the terminal is for the supervisor, which passes it on.
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, pass_fds=files, stdin=subprocess.DEVNULL, start_new_session=True
            )
            stack.pop_all()
        its.close()
        return process, ours

    def _is_ready(self, slot: _Slot) -> None:
        slot.heard_at, slot.is_suspected = time.monotonic(), False
        if slot.is_ready:
            return
        slot.is_ready = True
        log.info("a worker is ready", worker=slot.number, process=slot.process.pid if slot.process else None)
        if not self._has_served:
            self._has_served = True
            if self._kill_at is None:
                for other in self._slots[1:]:
                    other.start_at = time.monotonic()

    def _look_at(self, slot: _Slot) -> None:
        """Notice the end of a worker's process."""
        now = time.monotonic()
        if slot.process is None or slot.control is None:
            return
        if self._has_hung(slot, now) and slot.process.poll() is None:
            log.error("a worker hangs, and is killed", worker=slot.number, process=slot.process.pid)
            slot.process.kill()
            slot.process.wait()
        if (status := slot.process.poll()) is None:
            return
        with suppress(KeyError):  # its end was read before
            self._selector.unregister(slot.control)
        slot.control.close()
        slot.process = slot.control = None
        if self._kill_at is not None:
            ended_well = status == 0 or (status == -signal.SIGTERM and not slot.is_ready)
            self._status = self._status or int(not ended_well)
        elif not self._has_served:
            self._status = status if status >= 0 else 128 - status  # as a shell has it
        else:
            if slot.is_ready and now - slot.began > STEADY_SECONDS:
                slot.pause = 0.0
            self._restart_later(slot, now, status=status)

    def _has_hung(self, slot: _Slot, now: float) -> bool:
        """Whether the worker has not ended in time, or has not said for long that it works."""
        if self._kill_at is not None:
            return now >= self._kill_at
        if not slot.is_ready or now - slot.heard_at < SILENT_SECONDS:
            return False
        was_suspected, slot.is_suspected = slot.is_suspected, True
        slot.heard_at = now - SILENT_SECONDS + SECOND_CHANCE
        return was_suspected

    def _restart_later(self, slot: _Slot, now: float, **why: object) -> None:
        slot.pause = min(max(FIRST_PAUSE, 2 * slot.pause), LONGEST_PAUSE)
        slot.start_at = now + slot.pause
        log.error("a worker has ended, and will be started again", worker=slot.number, seconds=slot.pause, **why)

    def _end(self, said: bytes) -> None:
        """Tell the workers to drain or to stop. No worker is started from now on."""
        # Else connections would wait at a port where nobody accepts them.
        self._listener.close()
        kill_at = time.monotonic() + FINISH_SECONDS + LAST_SECONDS + (self._drain_seconds if said == DRAIN else 0)
        self._kill_at = min(kill_at, self._kill_at or kill_at)
        for slot in self._slots:
            slot.start_at = None
            if slot.control is not None:
                with suppress(OSError):  # it has ended
                    slot.control.sendall(said)
