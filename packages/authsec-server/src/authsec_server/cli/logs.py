"""The server's log: structured lines on stderr, which never carry a secret and never break an answer."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog


class Unfailing:
    """A stream to write lines to, for what they are worth: on a full disk a request must not fail for its log line."""

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
    """Text for a terminal, JSON for a collector. Tracebacks are plain: the local variables of a frame hold secrets."""
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
