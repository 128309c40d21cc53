"""Spans for OpenTelemetry, if the program itself has set a tracer provider. Otherwise nothing is imported.

The program chooses the SDK, the exporter and the sampler. No span has a token, a proof, or the message of an error.
Both packages of AuthSec use `sampled_parent` and `HEADER`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from authsec.errors import AuthSecError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind

T = TypeVar("T")

HEADER: Final = "traceparent"
_API: Final = "opentelemetry.trace"
_NAME: Final = "authsec"
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f][13579bdf]", re.ASCII)


class Parent(NamedTuple):
    """The ids of a caller's span."""

    trace_id: int
    span_id: int


def sampled_parent(header: str) -> Parent | None:
    """Return the caller's span of a `traceparent` header (W3C Trace Context), if the caller records this trace."""
    found = _TRACEPARENT.fullmatch(header)
    if found is None:
        return None
    parent = Parent(int(found[1], 16), int(found[2], 16))
    return parent if parent.trace_id and parent.span_id else None


def _is_on() -> bool:
    """Whether the program exports spans. Libraries import the API, too, and then a span would cost time for nothing."""
    api = sys.modules.get(_API)
    if api is None:
        return False
    provider = getattr(api, "get_tracer_provider", None)  # absent while another thread imports the module
    return provider is not None and not isinstance(provider(), api.ProxyTracerProvider)


def request_headers() -> Mapping[str, str]:
    """Return the header by which the authority continues the current trace."""
    if not _is_on():
        return {}
    from opentelemetry.trace import get_current_span

    its = get_current_span().get_span_context()
    if not its.is_valid:
        return {}
    return {HEADER: f"00-{its.trace_id:032x}-{its.span_id:016x}-{its.trace_flags:02x}"}


def in_current_trace(work: Callable[[], T]) -> Callable[[], T]:
    """Return `work`, which continues the current trace in another thread."""
    if not _is_on():
        return work
    from opentelemetry import context

    current = context.get_current()

    def continued() -> T:
        token = context.attach(current)
        try:
            return work()
        finally:
            context.detach(token)

    return continued


@contextmanager
def token_request(client_id: str) -> Iterator[None]:
    """Record a token request as a span."""
    if not _is_on():
        yield
        return
    from opentelemetry.trace import SpanKind

    with _span("authsec token request", SpanKind.CLIENT) as span:
        span.set_attribute("authsec.client_id", client_id)
        try:
            yield
        except AuthSecError as error:
            _fail(span, error.reason)
            raise


def verified(decide: Callable[[], T], sent: Callable[[], Sequence[str]]) -> T:
    """Record a decision of the gate as a span. `sent` returns the values of the request's `traceparent` header."""
    if not _is_on():
        return decide()
    from opentelemetry.trace import SpanKind

    with _span("authsec verify", SpanKind.INTERNAL, _context(sent())) as span:
        entered = decide()
        _describe(span, entered)
        return entered


async def averified(decision: Awaitable[T], sent: Callable[[], Sequence[str]]) -> T:
    """Record a decision of the gate as `verified` does, for coroutines."""
    if not _is_on():
        return await decision
    from opentelemetry.trace import SpanKind

    with _span("authsec verify", SpanKind.INTERNAL, _context(sent())) as span:
        entered = await decision
        _describe(span, entered)
        return entered


@contextmanager
def _span(name: str, kind: SpanKind, parent: Context | None = None) -> Iterator[Span]:
    from opentelemetry.trace import get_tracer

    # An exception's message may contain a secret, so the span does not record the exception.
    with get_tracer(_NAME).start_as_current_span(
        name, parent, kind, record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


def _context(sent: Sequence[str]) -> Context | None:
    """Return the caller's trace for a program whose server starts no span. None is the current trace."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

    if len(sent) != 1 or get_current_span().get_span_context().is_valid:
        return None
    parent = sampled_parent(sent[0])
    if parent is None:
        return None
    caller = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(caller))


def _describe(span: Span, entered: Any) -> None:
    """Add the agent whose token was verified, or the reason of the refusal."""
    if client_id := getattr(entered, "client_id", ""):
        span.set_attribute("authsec.client_id", client_id)
    elif (status := getattr(entered, "status", 200)) >= 400:
        span.set_attribute("http.response.status_code", status)
        _fail(span, str(entered.body.get("reason", "")))


def _fail(span: Span, reason: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("authsec.reason", reason)
    span.set_status(StatusCode.ERROR)
