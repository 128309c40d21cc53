"""The server's log: structured lines on stderr. A log line has no secrets, and a failed write breaks no request."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog


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
