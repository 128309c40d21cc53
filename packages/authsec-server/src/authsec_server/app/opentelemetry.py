"""Export traces by OpenTelemetry (OTLP over HTTP), as the standard `OTEL_…` variables say. Needs the extra `otel`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from threading import Thread
from typing import TYPE_CHECKING, Final

from authsec.traces import Parent

from authsec_server.failures import StartupRefused
from authsec_server.settings import ENV_PREFIX
from authsec_server.web.traces import StepTimes

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

END_SECONDS: Final = 3.0  # the last spans are lost if the collector does not answer in this time


class OpenTelemetryRecorder:
    """Makes a span of each traced request, and a child of it for each step."""

    def __init__(self, tracer: Tracer, close: Callable[[], None]) -> None:
        self._tracer = tracer
        self._close = close

    def record(
        self, parent: Parent, name: str, began: int, steps: StepTimes, attributes: Mapping[str, str | int]
    ) -> None:
        """Record a request that ends now. Steps that have not ended are left out."""
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
        from opentelemetry.trace import set_span_in_context as within

        sampled = TraceFlags(TraceFlags.SAMPLED)
        caller = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=sampled)
        span = self._tracer.start_span(
            name, within(NonRecordingSpan(caller)), SpanKind.SERVER, attributes, start_time=began
        )
        for step, (start, end) in steps.steps.items():
            if end is not None:
                self._tracer.start_span(f"authsec {step}", within(span), start_time=start).end(end)
        if int(attributes["http.response.status_code"]) >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send the last spans. A collector that does not answer must not hold up the end of the server."""
        closing = Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(END_SECONDS)


def recorder() -> OpenTelemetryRecorder:
    """Return a recorder that exports. Raises `StartupRefused` without the extra `otel`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
    except ImportError:
        raise StartupRefused(
            f"{ENV_PREFIX}TRACES needs OpenTelemetry, which is not installed.",
            "Install the server with its extra: authsec-server[otel]. Or unset the variable.",
        ) from None
    its = version("authsec-server")
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "authsec-server"}
    provider = TracerProvider(
        sampler=ParentBased(ALWAYS_OFF),  # the caller decides: this server begins no trace
        resource=Resource.create({**named, "service.version": its}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetryRecorder(provider.get_tracer("authsec_server", its), provider.shutdown)
