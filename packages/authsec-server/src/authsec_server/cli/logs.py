"""The server's log: structured lines on stderr. A log line has no secrets, and a failed write breaks no request."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, Protocol

import structlog

_ENCODE: Final = json.JSONEncoder(default=repr).encode


class LogStream(Protocol):
    """What a log is written to, such as stderr."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...


class Lines:
    """Writes lines to a stream, and ignores write errors: a request must not fail because the disk is full.

    Lines of level info from one turn of the event loop are written together. A write costs more than all else in a
    line, because other threads take the interpreter meanwhile. All other lines are written at once, after those that
    wait.
    """

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._lock = Lock()
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def info(self, line: str) -> None:
        """Write the line at the end of this turn of the event loop; at once if the thread has no event loop."""
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
        """Write the line now."""
        with self._lock:
            self._waiting.append(line)
        self.flush()

    debug = info
    warning = critical = exception = error

    def flush(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            text = "".join(f"{line}\n" for line in self._waiting)
            self._waiting.clear()
            self._flushed_by = None
            if not text:
                return
            try:
                self._stream.write(text)
                self._stream.flush()
            except OSError:  # a full disk or a closed pipe: a line that is lost must not stop the server
                return


def configure_logging(log_format: str) -> None:
    """Configure the log: text for a terminal, JSON for a collector.

    Tracebacks do not include local variables, because these variables can contain secrets.
    """
    lines = Lines(sys.stderr)
    atexit.register(lines.flush)
    is_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            _with_level_and_time,
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
    fields["timestamp"] = datetime.now(UTC).isoformat().removesuffix("+00:00") + "Z"
    return fields


def _as_json(_logger: object, _level: str, fields: Mapping[str, Any]) -> str:
    return _ENCODE(fields)
