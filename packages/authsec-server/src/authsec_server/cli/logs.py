"""The server's log: structured lines on stderr. A log line has no secrets, and a failed write breaks no request."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from threading import Lock
from time import time_ns
from typing import Any, Final, Protocol

import structlog

AT_ONCE: Final = 4096  # octets (PIPE_BUF): a write of this size to a shared pipe is atomic
_ENCODE: Final = json.JSONEncoder(default=repr).encode


class LogStream(Protocol):
    """The target of log lines, such as stderr."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...


class Lines:
    """Writes lines to a stream, and ignores write errors: a request must not fail because the disk is full.

    Lines of level info from one turn of the event loop are written together, up to `AT_ONCE` octets. Each write is
    expensive, because other threads can then take the interpreter. A line of another level is written at once,
    after the waiting lines.
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

    debug = info
    warning = critical = exception = error

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


def configure_logging(log_format: str, *, worker: int | None = None) -> None:
    """Configure the log: text for a terminal, JSON for a collector. Each line has the number of the `worker`.

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
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
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
