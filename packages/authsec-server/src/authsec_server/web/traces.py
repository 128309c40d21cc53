"""Traces of token requests, without OpenTelemetry: which requests are traced, and the times of their steps.

`app/opentelemetry.py` makes spans of them. Only requests of a trace that the caller records are traced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol, cast

from authsec.traces import HEADER, Parent, sampled_parent
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authsec_server.web.request_context import context_of
from authsec_server.web.request_counts import NO_ROUTE
from authsec_server.web.request_log import note, notes_of

MOST_A_SECOND: Final = 100  # of one process: strangers can send the header too
_STEPS: Final = "authsec.steps"


class StepTimes:
    """The steps of one request, with their begin and end in nanoseconds since 1970. None: the step has not ended."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[int, int | None]] = {}

    def begin(self, step: str) -> None:
        """Begin a step."""
        self.steps[step] = time.time_ns(), None

    def end(self, step: str) -> None:
        """End a step that has begun. A step that was not begun has none."""
        if step in self.steps:
            self.steps[step] = self.steps[step][0], time.time_ns()

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Begin the step, and end it after the block."""
        self.begin(step)
        try:
            yield
        finally:
            self.end(step)


class SpanRecorder(Protocol):
    """Records one request as a span, with a span for each step."""

    def record(
        self, parent: Parent, name: str, began: int, steps: StepTimes, attributes: Mapping[str, str | int]
    ) -> None: ...


def steps_of(scope: Scope) -> StepTimes | None:
    """Return the steps of a traced request. None for others."""
    return cast("StepTimes | None", scope.get(_STEPS))


class Traced:
    """Middleware that records requests to the `paths` whose caller records a trace.

    A span has no text of a stranger: the ids of the parent are numbers, and a client_id is that of a client.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        recorder: SpanRecorder,
        paths: Collection[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._recorder = recorder
        self._paths = frozenset(paths)
        self._monotonic = monotonic
        self._second, self._traced = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parent = self._parent(scope) if scope["type"] == "http" and scope["path"] in self._paths else None
        if parent is None:
            await self._app(scope, receive, send)
            return
        began, steps, status = time.time_ns(), StepTimes(), 500
        scope[_STEPS] = steps
        note(scope, trace_id=f"{parent.trace_id:032x}")

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", None) or NO_ROUTE
            notes = notes_of(scope)
            attributes = {
                "http.route": route,
                "http.response.status_code": status,
                "authsec.request_id": context_of(scope).request_id,
                **{f"authsec.{name}": notes[name] for name in ("client_id", "reason") if name in notes},
            }
            self._recorder.record(parent, f"authsec {route}", began, steps, attributes)

    def _parent(self, scope: Scope) -> Parent | None:
        sent = Headers(scope=scope).getlist(HEADER)
        parent = sampled_parent(sent[0]) if len(sent) == 1 else None
        if parent is None:
            return None
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._traced = second, 0
        self._traced += 1
        return parent if self._traced <= MOST_A_SECOND else None
