"""All that a run leaves behind where somebody may read it, and whether a token is in it."""

from __future__ import annotations

import base64
import logging
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

_spans = InMemorySpanExporter()
_events = InMemoryLogRecordExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_spans))
trace.set_tracer_provider(_provider)
_logger_provider = LoggerProvider()
_logger_provider.add_log_record_processor(SimpleLogRecordProcessor(_events))
_logs.set_logger_provider(_logger_provider)


class Evidence:
    """Texts by where they were found: `log`, `trace`, `error`, `model`, `output`."""

    def __init__(self) -> None:
        self.texts: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, where: str, *things: object) -> None:
        """What is no text is looked at as a debugger shows it."""
        self.texts[where] += [thing if isinstance(thing, str) else repr(thing) for thing in things]

    def add_error(self, error: BaseException) -> None:
        """An exception, as whatever reports it may show it."""
        self.add("error", str(error), repr(error), repr(vars(error)), *traceback.format_exception(error))

    def add_spans(self) -> None:
        """What OpenTelemetry was told until now."""
        self.add("trace", *(span.to_json() for span in _spans.get_finished_spans()))
        self.add("trace", *(event.log_record for event in _events.get_finished_logs()))
        _spans.clear()
        _events.clear()

    def where(self, token: str) -> set[str]:
        """Where this token is, or enough of it to know it by, also in base64."""
        _, payload, signature = token.split(".")
        plain = (payload[:40], payload[-40:], signature[:40])
        encoded = [base64.b64encode(mark[start : start + 36].encode()).decode() for mark in plain for start in range(3)]
        marks = [*plain, *encoded]
        return {place for place, texts in self.texts.items() if any(mark in text for mark in marks for text in texts)}


class _Everything(logging.Handler):
    """Keeps what any handler could write: the text, the arguments, the exception."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(logging.DEBUG)
        self._evidence = evidence

    def emit(self, record: logging.LogRecord) -> None:
        self._evidence.add("log", self.format(record), repr(vars(record)))


@contextmanager
def every_log_record(evidence: Evidence) -> Iterator[None]:
    """All loggers at DEBUG, whatever they were set to."""
    root = logging.getLogger()
    handler = _Everything(evidence)
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, logger.level, logger.propagate, logger.disabled) for logger in [root, *loggers]]
    for logger in loggers:
        logger.level, logger.propagate, logger.disabled = logging.NOTSET, True, False
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, level, propagate, disabled in before:
            logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled
