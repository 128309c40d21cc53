"""The process of `authsec serve`: its port, files, signals, log and shutdown.

A log line has no secrets, and a failed write breaks no request.
"""

from __future__ import annotations

import asyncio
import errno
import logging
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
from typing import TextIO, TypeVar, cast

import prometheus_client
import structlog
import uvicorn

from authsec_server.app import Authority, open_authority, refuse_to_serve
from authsec_server.cli.greeting import greet, server_on, warn_of_another, warn_of_older
from authsec_server.db.served import last_issuer, remember_issuer
from authsec_server.failures import Fault, StartupRefused, Unavailable
from authsec_server.settings import Settings
from authsec_server.web.health import Readiness
from authsec_server.web.uvicorn_protocol import BoundedProtocol

log = structlog.get_logger(__name__)
T = TypeVar("T")

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
FINISH_SECONDS = 15  # what is under way when the port closes gets so long to end
LEFT_LOCK_SECONDS = 30  # twice as long as a transaction on PostgreSQL may be idle
LAST_SECONDS = 5  # and then the process: below the 30 s after which Kubernetes kills it
_SECOND = "A second authority also needs its own data: --data DIR."


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises `StartupRefused` or `Unavailable` when the server cannot start."""
    configure_logging(settings.log_format)
    with ExitStack() as stack:
        stack.enter_context(_private_files())
        listener = stack.enter_context(_listen(settings.host, settings.port))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        tls = _tls(settings)
        stack.enter_context(_metrics(settings.metrics_port))
        refuse_to_serve(settings)
        if not settings.database:
            _make_folder(settings.data)  # only now: what is mistyped leaves no folder behind
        authority = _patiently(lambda: stack.enter_context(open_authority(settings)))
        if authority.comparison.problem:
            warn_of_older(authority.comparison.problem)
        else:
            warn_of_another(authority.database.read(last_issuer), authority.issuer)
            _patiently(lambda: authority.database.append(lambda tx: remember_issuer(tx, authority.issuer)))
            stack.enter_context(authority.tokens.signer.with_processes(settings.signing_processes))
            greet(settings, authority)
        config = uvicorn.Config(
            authority.app,
            http=partial(BoundedProtocol, direct=authority.direct),  # type: ignore[arg-type] # uvicorn only calls it
            lifespan="on",
            proxy_headers=False,  # forwarded addresses are read in one place: web/request_context.py
            server_header=False,
            access_log=False,  # ours logs no query strings
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=FINISH_SECONDS,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        server = DrainingServer(config, authority, settings.drain_seconds)
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
    """A server that drains on SIGTERM, so that load balancers see `/readyz` fail before the port closes.

    The server reports that it is not ready, and accepts requests for a while. Then it finishes its open requests
    and exits. Ctrl-C or a second signal skips the wait.
    """

    def __init__(self, config: uvicorn.Config, authority: Authority, drain_seconds: float) -> None:
        super().__init__(config)
        self._readiness: Readiness = authority.readiness
        self._drain_seconds = drain_seconds

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if sys.platform == "win32":
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()

        # Not the loop's own handlers: they never run while something blocks the loop.
        def terminate(*_: object) -> None:
            self._end_within(self._drain_seconds)
            loop.call_soon_threadsafe(self._drain, loop)

        def interrupt(*_: object) -> None:
            self._end_within(0)
            loop.call_soon_threadsafe(self._stop)

        before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
            signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
        }
        try:
            yield
        finally:
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
    telling = threading.Thread(target=log.error, args=(said,), daemon=True)  # a pipe that nobody reads blocks
    telling.start()
    telling.join(1)
    os._exit(1)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while ")[0]  # Python says the address once more
        taken = error.errno == errno.EADDRINUSE
        raise StartupRefused(
            f"Cannot listen on {host} port {port}: {why}.",
            server_on(host, port, beside=_SECOND) if taken else "Choose another address: --host, --port.",
        ) from None
    return listener


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


@contextmanager
def _metrics(port: int) -> Iterator[None]:
    if not port:
        yield
        return
    try:
        server, thread = prometheus_client.start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise StartupRefused(f"Cannot listen on the metrics port {port}: {error.strerror}.") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Unfailing:
    """A text stream that ignores write errors. A request must not fail because the disk for its log line is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:  # a full disk or a closed pipe: a line that is lost must not stop the server
            return 0

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:  # as above
            return


def configure_logging(log_format: str) -> None:
    """Configure the log: text for a terminal, JSON for a collector.

    Tracebacks do not include local variables, because these variables can contain secrets.
    """
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    written: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *written,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Unfailing(sys.stderr))),  # all that print() needs
        cache_logger_on_first_use=True,
    )
