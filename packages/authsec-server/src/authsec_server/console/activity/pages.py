"""The audit log page with its chart, live stream and downloads. The page of one event, with all its details.

The live stream sends each new event as a rendered table row (HTML Living Standard, section 9.2).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from authsec_server.audit import counts, export
from authsec_server.audit import service as audit
from authsec_server.audit.counts import Point
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.live import Watcher
from authsec_server.audit.model import EventKind, Recorded
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.service import SealingStatus
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console import guard
from authsec_server.console.activity import query, text, token_revocation
from authsec_server.console.activity.chips import LABELS, chips
from authsec_server.console.activity.runs import ActivityPage, Load, Run, read_rows, with_newer
from authsec_server.console.addresses import ACTIVITY_STREAM
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Invalid, Unavailable
from authsec_server.tokens.hints import Remedy, remedy_of
from authsec_server.tokens.revocation import revoked
from authsec_server.web.errors import Unauthenticated
from authsec_server.web.sse import message

SHORTEST = timedelta(hours=2)  # hourly counts of less time are no chart
HOURS = 48
STEPS = (
    (timedelta(hours=HOURS), timedelta(hours=1), "by the hour"),
    (timedelta(days=8), timedelta(hours=6), "per 6 hours"),
    (timedelta(days=365), timedelta(days=1), "by the day"),
)
"""The longest time that the chart shows with a step, the step, and the step in words."""


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the audit log, of its stream and files, and of one event."""
    return [
        console.page("/activity", trail),
        console.page(ACTIVITY_STREAM.removeprefix("/console"), stream),
        console.page("/activity/export.{form}", download),
        *token_revocation.routes(console),
        console.page("/activity/{event}", story),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDetails:
    """One event with its client and the other events of the same request.

    `client` is None if the event has no client or the client was deleted. `remedy` says how to fix a refusal.
    `revoked_at` is the time at which the event's token was revoked.
    """

    recorded: Recorded
    same_request: Sequence[Recorded]
    client: Client | None
    remedy: Remedy | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The points of the chart, the step between two points in words, and the period."""

    points: Sequence[Point] = ()
    by: str = ""
    period: str = ""


async def trail(visit: PageRequest) -> Response:
    """Show the events that match the filter.

    If the filter is invalid, the page shows a message at the wrong field and no events.
    """
    before = visit.query.number("cursor") or None
    now = visit.act.now

    apart = _apart(visit)

    def load(tx: Tx) -> tuple[query.ActivityQuery, ActivityPage, Chart, int, SealingStatus]:
        asked = query.read(tx, visit.query, visit.act.now)
        found = read_rows(_loader(tx, visit, asked), before=before, apart=apart)
        newest = audit.newest_number(tx, visit.act.principal)
        return asked, found, _chart(tx, asked, now), newest, sealing.sealing_status(tx, visit.act.principal, now)

    problem, sealed = None, None
    try:
        asked, found, chart, newest, sealed = await visit.read(load)
    except Invalid as failure:
        problem = failure
        typed = {name: (visit.query.all(name) or ("",))[0] for name in query.FIELDS}
        asked = query.ActivityQuery(wanted=EventFilter(), typed=typed)
        found, chart, newest = ActivityPage(), Chart(), 0
    return visit.render(
        "activity/trail.html",
        title="Activity",
        problem=problem,
        asked=asked,
        groups=query.GROUPS,
        reasons=query.REASONS,
        ranges=query.RANGES,
        labels=LABELS,
        chips=[] if problem else chips(visit, asked, [each.newest for each in found.runs]),
        found=found,
        cursor=before or "",
        apart=apart,
        chart=chart,
        charted=_charted(asked.wanted),
        stories=text,
        live=before is None and problem is None and asked.wanted.until is None,
        newest=newest,
        sealed=sealed,
    )


def _apart(visit: PageRequest) -> bool:
    """Whether the address asks for one row for each event."""
    return visit.query.text("each") == "1"


def _loader(tx: Tx, visit: PageRequest, asked: query.ActivityQuery) -> Load:
    principal, wanted = visit.act.principal, asked.wanted
    return lambda before, limit: audit.page(tx, principal, wanted, before=before, limit=limit)


async def story(visit: PageRequest) -> Response:
    """Show one event and the other events of its request."""
    number = token_revocation.event_number(visit)
    details = await visit.read(lambda tx: _story(tx, visit, number))
    event = details.recorded.event
    return visit.render(
        "activity/story.html",
        title=text.sentence(details.recorded),
        details=details,
        recorded=details.recorded,
        event=event,
        stories=text,
        proof=text.explain_proof(event),
        overdue=visit.act.now - event.at > sealing.OVERDUE_AFTER,
        may_end=visit.may("operator") and _can_be_used(details, visit.act.now),
        detail=json.dumps(dict(event.detail), indent=2, ensure_ascii=False, sort_keys=True),
    )


def _story(tx: Tx, visit: PageRequest, number: int) -> EventDetails:
    principal = visit.act.principal
    found = audit.event(tx, principal, number)
    request_id = found.event.request_id
    same_request = audit.of_request(tx, principal, request_id) if request_id else ()
    client = clients.find(tx, found.event.client.id) if found.event.client else None
    can_prove = client is None or client.can_prove_itself(visit.act.now) or client.unattested(visit.act.now)
    return EventDetails(
        recorded=found,
        same_request=[each for each in same_request if each.id != found.id],
        client=client,
        remedy=remedy_of(found.event, can_prove=can_prove),
        revoked_at=revoked(tx, [found]).get(found.id),
    )


def _can_be_used(details: EventDetails, now: datetime) -> bool:
    """Whether the event issued a token that has neither expired nor been revoked."""
    event = details.recorded.event
    if event.kind is not EventKind.TOKEN_ISSUED or event.expires_at is None:
        return False
    return event.expires_at > now and details.revoked_at is None


def _charted(wanted: EventFilter) -> tuple[str, ...]:
    """Return the series of the chart: issued tokens, refused tokens or both, according to the filter.

    A reason is that of a refusal, so no issued token matches.
    """
    if wanted.reason and not wanted.kinds:
        return ("refused",)
    kinds = {"issued": EventKind.TOKEN_ISSUED, "refused": EventKind.TOKEN_REFUSED}
    return tuple(name for name, kind in kinds.items() if not wanted.kinds or kind in wanted.kinds)


def _chart(tx: Tx, asked: query.ActivityQuery, now: datetime) -> Chart:
    """Return the chart of the filter.

    The chart is empty if hourly counts do not exist for this filter, or if the time is too short for a chart.
    """
    end = min(asked.wanted.until or now, now)
    start = asked.wanted.since or end - timedelta(hours=HOURS)
    if not asked.counted or end - start < SHORTEST:
        return Chart()
    start = max(start, end - STEPS[-1][0])
    step, by = next((step, by) for longest, step, by in STEPS if end - start <= longest)
    client_id, reason = asked.wanted.client_id or None, asked.wanted.reason
    points = counts.series(tx, start.astimezone(UTC), end, step, client_id=client_id, reason=reason)
    return Chart(points=points, by=by, period=_period(asked, points))


def _period(asked: query.ActivityQuery, points: Sequence[Point]) -> str:
    if asked.range in query.RANGES:
        return f"last {query.RANGES[asked.range][0]}"
    if asked.range:
        return f"{points[0].at:%Y-%m-%d} to {points[-1].at:%Y-%m-%d}"
    return f"last {HOURS} hours"


FORMS = {
    "jsonl": (export.json_lines, "application/jsonl"),
    "csv": (export.csv_lines, "text/csv; charset=utf-8; header=present"),
}


class Download(StreamingResponse):
    """A streaming response that releases the resources in `held`.

    The release happens when the download ends or the client disconnects.
    """

    def __init__(self, content: AsyncIterator[str], held: ExitStack, **options: Any) -> None:
        super().__init__(content, **options)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def download(visit: PageRequest) -> Response:
    """Stream all events that match the filter, oldest first.

    Each event is sent as soon as it is read, so the audit log may have any size.
    """
    form = visit.named("form")
    if form not in FORMS:
        raise HTTPException(404)
    lines, media_type = FORMS[form]
    its = await visit.read(lambda tx: query.read(tx, visit.query, visit.act.now))
    rows = lines(visit.console.site.database, visit.act.principal, its.wanted)
    name = f"authsec-events-{visit.act.now:%Y%m%dT%H%M%SZ}.{form}"
    headers = dict(guard.HEADERS) | {"Content-Disposition": f'attachment; filename="{name}"'}
    held = ExitStack()
    held.enter_context(visit.console.downloads.one(visit.act.principal.id))
    return Download(iterate_in_threadpool(rows), held, media_type=media_type, headers=headers)


HEARTBEAT_SECONDS = 15
CHECK_EVERY = timedelta(seconds=HEARTBEAT_SECONDS)  # an expired session sees events no longer than this
MAY_SHUT_OUT = query.GROUPS["administration"][1]  # an event of these kinds may have ended the session: check at once


async def stream(visit: PageRequest) -> Response:
    """Stream new events that match the query's filter.

    The stream ends at once if too many people watch, or if the server is about to stop.
    """
    last = visit.request.headers.get("last-event-id") or visit.query.text("after")
    after = int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else 0

    def load(tx: Tx) -> tuple[query.ActivityQuery, Sequence[Run]]:
        asked = query.read(tx, visit.query, visit.act.now)
        top = read_rows(_loader(tx, visit, asked), before=after + 1, rows=1, apart=_apart(visit))
        return asked, top.runs

    asked, top = await visit.read(load)
    return StreamingResponse(
        _lines(visit, asked, after, top[0] if top else None),
        media_type="text/event-stream",
        headers=dict(guard.HEADERS) | {"X-Accel-Buffering": "no"},  # tells nginx not to buffer the events
    )


async def _lines(visit: PageRequest, asked: query.ActivityQuery, after: int, run: Run | None) -> AsyncIterator[str]:
    """Yield the rows of new events. `run` is the top row of the page: an equal refusal replaces this row."""
    try:
        with visit.console.live.watch(after=after) as watcher:
            yield ": watching\n\n"
            async for recorded in _while_signed_in(visit, watcher):
                if recorded is None:
                    yield ": still here\n\n"
                elif asked.wanted.matches(recorded.event):
                    run = with_newer(run, recorded, apart=_apart(visit))
                    row = visit.part("activity/row.html", run=run, stories=text, fresh=True)
                    yield message(row, number=recorded.id)
            yield message("", kind="lagging" if watcher.lagging else "ended")
    except Unavailable:
        yield message("", kind="ended")


async def _while_signed_in(visit: PageRequest, watcher: Watcher) -> AsyncIterator[Recorded | None]:
    """Yield the events, and None as a heartbeat. Stop when the stream or the person's session ends."""
    checked = visit.console.site.now()
    while True:
        recorded = None
        try:
            with anyio.move_on_after(HEARTBEAT_SECONDS):  # a generator must not yield inside a cancel scope
                recorded = await anext(watcher)
        except StopAsyncIteration:
            return  # the server is stopping
        ends = recorded is not None and recorded.event.kind in MAY_SHUT_OUT
        if ends or recorded is None or visit.console.site.now() - checked > CHECK_EVERY:
            if not await _is_signed_in(visit):
                return
            checked = visit.console.site.now()
        yield recorded


async def _is_signed_in(visit: PageRequest) -> bool:
    """Whether the session is still valid. A person without a valid session must not receive further events."""
    confirm = visit.console.site.authenticate.confirm
    try:
        await visit.read(lambda tx: confirm(tx, visit.act.principal))
    except Unauthenticated:
        return False  # the session has ended, so the stream must end
    return True
