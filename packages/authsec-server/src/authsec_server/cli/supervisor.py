"""`authsec serve --workers`: several server processes on one port, for PostgreSQL.

The supervisor binds the port, starts the workers, and forwards SIGTERM and Ctrl-C. It also restarts each
worker that ends or hangs. The supervisor has no key and no connection to the database. All workers accept connections
from the same inherited socket, so the end of one worker leaves no connection waiting.

The first worker migrates the database, makes the first keys, and reports wrong settings. The other workers start when
the first worker is ready.
"""

from __future__ import annotations

import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from authsec_server.cli import worker_process
from authsec_server.cli.listener import listen
from authsec_server.cli.logs import configure_logging, everything_logged
from authsec_server.cli.worker import DRAIN, FINISH_SECONDS, LAST_SECONDS, READY, STOP, WorkerStart
from authsec_server.failures import StartupRefused
from authsec_server.metrics.catalogue import PROCESS, RESTARTS
from authsec_server.metrics.memory import ProcessMemory, SharedMemory
from authsec_server.settings import Settings

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 0.5  # seconds before the first restart of a worker
LONGEST_PAUSE: Final = 8.0
SILENT_SECONDS: Final = 30.0  # a worker without a sign of life for this time is killed and restarted
SECOND_CHANCE: Final = 2.0  # more seconds, because all workers are silent after a pause of the machine
STEADY_SECONDS: Final = 60.0  # after this time of service, the next restart waits `FIRST_PAUSE` again
_SIGNALS: Final = {signal.SIGTERM: DRAIN, signal.SIGINT: STOP}


def supervise(settings: Settings, options: Mapping[str, Any]) -> int:
    """Serve with several workers until SIGTERM or Ctrl-C, and return the exit status. Raises `StartupRefused`.

    `options` are the options of the command. Each worker loads its settings from them.
    """
    if sys.platform == "win32":
        raise StartupRefused("On Windows, AuthSec serves with one process.", "Leave out --workers.")
    if settings.sqlite_file is not None:
        raise StartupRefused(
            f"SQLite has one writer, so {settings.workers} workers issue no more tokens than one.",
            "Use PostgreSQL (--database postgresql://…), or leave out --workers.",
        )
    settings.issuer  # noqa: B018 - raises if the setting is wrong
    configure_logging(settings.log_format, settings.log_level)
    with everything_logged(settings.log_format), listen(settings.host, settings.port) as listener:
        if not settings.metrics_port:
            return _Supervisor(settings, options, listener).run()
        # Imported here, because few servers serve metrics.
        from authsec_server.cli.metrics_listener import metrics_served, milliseconds
        from authsec_server.metrics.collector import ServerCollector

        shared = SharedMemory.create(settings.workers + 1)
        PROCESS.attach(shared.process(0))
        memories = [shared.process(number) for number in range(1, settings.workers + 1)]
        collector = ServerCollector(memories, [PROCESS.memory], now=milliseconds)
        with metrics_served(settings.metrics_host, settings.metrics_port, collector):
            return _Supervisor(settings, options, listener, shared.descriptor, memories).run()


@dataclass(slots=True)
class _Slot:
    """A worker's number and its current process. `start_at` is the time of the next start; None while it runs."""

    number: int
    start_at: float | None = None
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    began: float = 0.0
    is_ready: bool = False
    heard_at: float = 0.0  # time of the last sign of life
    is_suspected: bool = False  # the worker was silent for too long
    pause: float = 0.0  # seconds before the last restart; 0 without a restart


class _Supervisor:
    """`metrics` is the descriptor of the memory in which workers count, and `memories` are those of the workers."""

    def __init__(
        self,
        settings: Settings,
        options: Mapping[str, Any],
        listener: socket.socket,
        metrics: int | None = None,
        memories: Sequence[ProcessMemory] = (),
    ) -> None:
        self._options = {name: value for name, value in options.items() if value is not None}
        self._drain_seconds = settings.drain_seconds
        self._listener = listener
        self._metrics = metrics
        self._memories = memories
        self._slots = [_Slot(number) for number in range(1, settings.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._said: list[bytes] = []  # messages from signals, not yet forwarded
        self._has_served = False
        self._kill_at: float | None = None  # monotonic; None until the workers are told to end
        self._status = 0

    def run(self) -> int:
        """Run the workers. Return the first worker's exit status if it could not start, or 1 if a worker failed."""
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
        """Record signals and wake up `_wait`, also for SIGCHLD, the signal after the end of a worker."""
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
            # A second SIGTERM ends the wait, as without workers.
            self._said.append(STOP if self._kill_at is not None else _SIGNALS[signal.Signals(number)])

    def _wait(self) -> None:
        """Wait for a signal, for a message of a worker, or for the next due time."""
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
            except OSError:  # the worker ended before it read everything
                said = b""
            if key.data is None:
                continue  # a signal woke up the selector
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
        with suppress(OSError):  # the worker has already ended
            slot.control.sendall(start.to_bytes())

    def _started(self, number: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a worker. Return its process and the supervisor's socket to the worker. Raises `OSError`."""
        with ExitStack() as stack:
            ours, its = (stack.enter_context(each) for each in socket.socketpair())
            files = [self._listener.fileno(), its.fileno()]
            files += [] if self._metrics is None else [self._metrics]
            command = [sys.executable, "-P", "-m", worker_process.__name__, str(number), *map(str, files)]
            # A new session, so that only the supervisor gets Ctrl-C from the terminal. The supervisor forwards Ctrl-C.
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
        """Kill the worker if it hangs. Plan the restart of a worker that has ended."""
        now = time.monotonic()
        if slot.process is None or slot.control is None:
            return
        if self._has_hung(slot, now) and slot.process.poll() is None:
            log.error("a worker hangs, and is killed", worker=slot.number, process=slot.process.pid)
            slot.process.kill()
            slot.process.wait()
        if (status := slot.process.poll()) is None:
            return
        with suppress(KeyError):  # already unregistered
            self._selector.unregister(slot.control)
        slot.control.close()
        slot.process = slot.control = None
        for memory in self._memories[slot.number - 1 : slot.number]:
            memory.end()
        if self._kill_at is not None:
            ended_well = status == 0 or (status == -signal.SIGTERM and not slot.is_ready)
            self._status = self._status or int(not ended_well)
        elif not self._has_served:
            self._status = status if status >= 0 else 128 - status  # as in a shell: 128 plus the number of the signal
        else:
            if slot.is_ready and now - slot.began > STEADY_SECONDS:
                slot.pause = 0.0
            self._restart_later(slot, now, status=status)

    def _has_hung(self, slot: _Slot, now: float) -> bool:
        """Whether the worker did not end in time, or gave no sign of life for too long."""
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
        RESTARTS.of().add()
        log.error("a worker has ended, and will be started again", worker=slot.number, seconds=slot.pause, **why)

    def _end(self, said: bytes) -> None:
        """Tell the workers to drain or to stop. No worker is started from now on."""
        # Close the port, or new connections would wait although no worker accepts them.
        self._listener.close()
        kill_at = time.monotonic() + FINISH_SECONDS + LAST_SECONDS + (self._drain_seconds if said == DRAIN else 0)
        self._kill_at = min(kill_at, self._kill_at or kill_at)
        for slot in self._slots:
            slot.start_at = None
            if slot.control is not None:
                with suppress(OSError):  # the worker has ended
                    slot.control.sendall(said)
