"""The process of `authsec serve`: its port, files, signals and shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import uvicorn

from authsec_server.app import Authority, open_authority, refuse_to_serve
from authsec_server.cli.acceptor import Acceptor
from authsec_server.cli.greeting import greet, warn_of_another, warn_of_older
from authsec_server.cli.listener import listen
from authsec_server.cli.logs import configure_logging, everything_logged
from authsec_server.cli.metrics_listener import metrics_served, milliseconds
from authsec_server.cli.worker import FINISH_SECONDS, LAST_SECONDS, Worker
from authsec_server.db.served import last_issuer
from authsec_server.failures import Fault, StartupRefused, Unavailable
from authsec_server.metrics.catalogue import PROCESS
from authsec_server.metrics.collector import ServerCollector
from authsec_server.settings import Settings
from authsec_server.web.health import Liveness, Readiness
from authsec_server.web.uvicorn_protocol import BoundedProtocol

log = structlog.get_logger(__name__)
T = TypeVar("T")

KEEP_ALIVE_SECONDS = 75
TICKS_A_SECOND = 10  # uvicorn calls `on_tick` so often
LEFT_LOCK_SECONDS = 30  # twice the idle limit of a PostgreSQL transaction


def run(settings: Settings, worker: Worker | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises `StartupRefused` or `Unavailable` when the server cannot start.

    `worker` is None if this process is the only one on its port.
    """
    configure_logging(settings.log_format, settings.log_level, worker=worker.number if worker else None)
    with ExitStack() as stack:
        stack.enter_context(everything_logged(settings.log_format))
        stack.enter_context(_private_files())
        listener = stack.enter_context(worker.listener if worker else listen(settings.host, settings.port))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        tls = _tls(settings)
        if worker is None and settings.metrics_port:
            collector = ServerCollector([PROCESS.memory], now=milliseconds)
            stack.enter_context(metrics_served(settings.metrics_host, settings.metrics_port, collector))
        refuse_to_serve(settings)
        if not settings.database:
            _make_folder(settings.data)  # after the checks: a mistyped setting must not create a folder
        authority = _patiently(lambda: stack.enter_context(open_authority(settings)))
        greets = worker is None or worker.greets
        if authority.comparison.problem:
            if greets:
                warn_of_older(authority.comparison.problem, settings.log_format)
        else:
            if greets:
                warn_of_another(authority.database.read(last_issuer), authority.issuer, settings.log_format)
            _patiently(authority.remember_issuer)
            stack.enter_context(authority.tokens.signer.with_processes(settings.signing_processes))
            if greets:
                greet(settings, authority)
        config = uvicorn.Config(
            authority.app,
            http=partial(  # type: ignore[arg-type] # a callable is enough
                BoundedProtocol, direct=authority.direct, readers=authority.slow_readers
            ),
            ws="none",  # there are no WebSockets: their library would take memory and time at the start
            lifespan="on",
            proxy_headers=False,  # forwarded addresses are read in one place: web/request_context.py
            server_header=False,
            access_log=False,  # AuthSec writes its own access log, without query strings
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=FINISH_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        server = DrainingServer(config, authority, settings.drain_seconds, worker)
        server.run(sockets=[listener])
        if not server.started:
            raise StartupRefused("The server could not start." + (" See above." if tls else ""))


def _patiently(work: Callable[[], T]) -> T:
    """Call `work`, and retry while another transaction has a lock. Raises `Unavailable` after 30 seconds.

    PostgreSQL ends the transaction of a dead server within that time.
    """
    deadline = time.monotonic() + LEFT_LOCK_SECONDS
    while True:
        try:
            return work()
        except Unavailable as unavailable:
            if unavailable.fault is not Fault.AUTHORITY_LOCKED or time.monotonic() > deadline:
                raise
            log.warning("waiting for a database lock that another transaction holds")


class DrainingServer(uvicorn.Server):
    """A server that drains on SIGTERM: load balancers see `/readyz` fail before the port closes.

    The server reports that it is not ready, and accepts requests for `drain_seconds`. Then it finishes its open
    requests and exits. Ctrl-C or a second SIGTERM ends the wait. A worker ignores a second SIGTERM, because systemd
    and the supervisor both send one to each worker. Only a message of the supervisor ends the wait of a worker.
    """

    def __init__(
        self, config: uvicorn.Config, authority: Authority, drain_seconds: float, worker: Worker | None
    ) -> None:
        super().__init__(config)
        self._readiness: Readiness = authority.readiness
        self._liveness: Liveness = authority.liveness
        self._drain_seconds = drain_seconds
        self._worker = worker
        self._is_told = False  # whether a worker was told to drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._worker is None:
            await super().startup(sockets)
            return
        await super().startup([])
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        new = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        acceptor = Acceptor(self._worker.listener, new, self.config.ssl)
        self.servers.append(acceptor)  # type: ignore[arg-type] # uvicorn only closes the server
        self._worker.say_ready()

    async def on_tick(self, counter: int) -> bool:
        # The supervisor needs a report of each worker: any one worker can answer `/healthz`.
        if self._worker is not None and counter % TICKS_A_SECOND == 0 and self._liveness.problem() is None:
            self._worker.say_ready()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if sys.platform == "win32":
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()

        # Do not use the loop's signal handlers: they do not run while something blocks the loop.
        def terminate(*_: object) -> None:
            if self._worker is not None and self._is_told:
                return
            self._is_told = True
            self._end_within(self._drain_seconds)
            loop.call_soon_threadsafe(self._drain, loop)

        def interrupt(*_: object) -> None:
            self._end_within(0)
            loop.call_soon_threadsafe(self._stop)

        before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
            signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
        }
        if self._worker is not None:
            self._worker.serve_until(terminate, interrupt)
        try:
            yield
        finally:
            if self._worker is not None:
                self._worker.serve_until(_pass, _pass)  # the server is already ending
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _end_within(self, drain_seconds: float) -> None:
        """End the process after the shutdown time, even if something hangs.

        For example, the event loop, a disk or a thread in a system call can hang.
        """
        timer = threading.Timer(drain_seconds + FINISH_SECONDS + LAST_SECONDS, _end_now)
        timer.daemon = True
        timer.start()

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._readiness.draining or not self._drain_seconds:
            self._stop()
            return
        self._readiness.draining = True
        loop.call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        self._readiness.draining = True
        self.should_exit = True


@contextmanager
def _private_files() -> Iterator[None]:
    """Make all new files and folders readable only by the user of this process."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _end_now() -> None:
    """End the process without waiting for its threads. The database rolls back open transactions."""
    said = "the process exits although a task has not finished"
    telling = threading.Thread(target=log.error, args=(said,), daemon=True)  # a pipe without a reader would block
    telling.start()
    telling.join(1)
    os._exit(1)


def _pass() -> None:
    """Do nothing."""


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise StartupRefused(
            f"The data folder {folder} is not writable: {error.strerror}.", "Choose another folder: --data DIR."
        ) from None


def _tls(settings: Settings) -> bool:
    if settings.tls_cert is None or settings.tls_key is None:
        return False
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise StartupRefused(
            f"The TLS certificate or key cannot be used: {error}.",
            "Both must be PEM, and the key must match the certificate.",
        ) from None
    return True
