"""The server's log: structured lines on stderr. A log line has no secrets, and a failed write breaks no request."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from threading import Lock
from time import monotonic, time_ns
from typing import Any, Final, Protocol

import click
import structlog

from authsec_server.cli.output import say_failed
from authsec_server.failures import Failure

EXPORT_SECONDS: Final = 60.0  # between two lines about an export of traces that failed
AT_ONCE: Final = 4096  # octets (PIPE_BUF): a write of this size to a shared pipe is atomic
_ENCODE: Final = json.JSONEncoder(default=repr).encode


class LogStream(Protocol):
    """The target of log lines, such as stderr."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...


class Lines:
    """Writes lines to a stream, and ignores write errors: a request must not fail because the disk is full.

    Lines of one turn of the event loop are written together, up to `AT_ONCE` octets. Each write is expensive, because
    other threads can then take the interpreter. An error is written at once, after the waiting lines.
    """

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._lock = Lock()
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def info(self, line: str) -> None:
        """Write the line at the end of this turn of the event loop. Without an event loop, write the line at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.error(line)
            return
        with self._lock:
            self._waiting.append(line)
            is_flushed, self._flushed_by = self._flushed_by is loop, loop
        if not is_flushed:
            loop.call_soon(self.flush)

    def error(self, line: str) -> None:
        """Write the waiting lines and this line at once."""
        with self._lock:
            self._waiting.append(line)
        self.flush()

    debug = warning = info
    critical = exception = error

    def flush(self) -> None:
        """Write the waiting lines."""
        with self._lock:
            texts = list(_whole_lines(self._waiting))
            self._waiting.clear()
            self._flushed_by = None
            try:
                for text in texts:
                    self._stream.write(text)
                    self._stream.flush()
            except OSError:  # a full disk or a closed pipe: a lost line must not stop the server
                return


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines to texts of at most `AT_ONCE` octets. A longer line becomes a text of its own."""
    text, size = "", 0
    for line in lines:
        length = len(line.encode("utf-8", "backslashreplace")) + 1
        if text and size + length > AT_ONCE:
            yield text
            text, size = "", 0
        text += f"{line}\n"
        size += length
    if text:
        yield text


def configure_logging(log_format: str, level: str = "info", *, worker: int | None = None) -> None:
    """Configure the log: text for a terminal, JSON for a collector. Each line has the number of the `worker`.

    `level` is the lowest level of lines that are written.

    Tracebacks do not include local variables, because these variables can contain secrets.
    """
    lines = Lines(sys.stderr)
    atexit.register(lines.flush)
    is_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            _with_level_and_time,
            *([partial(_with_worker, worker)] if worker is not None else []),
            *(
                [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
                if is_text
                else [structlog.processors.format_exc_info, _as_json]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )


def _with_level_and_time(_logger: object, level: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    fields["level"] = level
    seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
    fields["timestamp"] = f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"
    return fields


@lru_cache(maxsize=4)  # a busy server writes thousands of lines a second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _with_worker(
    worker: int, _logger: object, _level: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    fields["worker"] = worker
    return fields


def _as_json(_logger: object, _level: str, fields: Mapping[str, Any]) -> str:
    return _ENCODE(fields)


@contextmanager
def everything_logged(log_format: str) -> Iterator[None]:
    """Log also what would go to stderr in other forms: lines of libraries, warnings, and errors that no code handles.

    With the format json, an unexpected error of this block becomes a line and the exit status 1. Its message is
    omitted, as in all lines, because it may contain a secret.
    """
    root, handler = logging.getLogger(), _ToStructlog()
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda its: _log_unhandled(its.exc_value, thread=its.thread.name if its.thread else "")
    sys.unraisablehook = lambda its: _log_unhandled(its.exc_value)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    except Exception as error:
        if log_format != "json" or isinstance(error, Failure):
            raise
        _log_unhandled(error)
        sys.exit(1)
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        threading.excepthook, sys.unraisablehook = hooks


def _log_unhandled(error: BaseException | None, **more: str) -> None:
    if error is not None and not isinstance(error, SystemExit):
        structlog.get_logger().critical("unexpected error", error=type(error).__name__, where=_where(error), **more)


def _where(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__))


class _ToStructlog(logging.Handler):
    """Writes the records of other libraries as lines of this log. Debug lines of a library may contain secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._export_told_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry."):
            self._say_not_exported()
            return
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= {"error": type(record.exc_info[1]).__name__, "where": _where(record.exc_info[1])}
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's wrong call of its logger must break nothing
            message = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        structlog.get_logger().log(level, " ".join(message.split()), **fields)

    def _say_not_exported(self) -> None:
        """Say once a minute that spans are lost. The exporter's own lines come several times a second, with its URL."""
        if monotonic() - self._export_told_at >= EXPORT_SECONDS:
            self._export_told_at = monotonic()
            structlog.get_logger().warning("traces could not be exported")


def say(log_format: str, text: str, *, is_warning: bool = False) -> None:
    """Print a text for the operator on stderr. With the format json, the text is one line of the log."""
    if log_format != "json":
        click.echo(text, err=True)
        return
    log = structlog.get_logger()
    (log.warning if is_warning else log.info)(" ".join(text.split()))


def say_refused(log_format: str, failure: Failure) -> None:
    """Say on stderr why the server did not start."""
    if log_format != "json":
        say_failed(failure.message, failure.remedy)
        return
    structlog.get_logger().critical("the server could not start", message=failure.message, remedy=failure.remedy)
