"""Rows of the audit log page. Neighbouring equal refusals of an agent are one row, a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from authsec_server.audit.filters import AuditLogPage
from authsec_server.audit.model import Event, EventKind, Recorded
from authsec_server.console.formatting import utc
from authsec_server.web.request_context import limit_key

ROWS = 50
MOST_READ = 1000  # events for one page
_MORE = 200  # events in each further read
_TIME = slice(11, 19)  # of the day, in `formatting.utc`
_START = datetime(1970, 1, 1, tzinfo=UTC)

Load = Callable[[int | None, int], AuditLogPage]
"""Load the newest events with numbers below the first argument, at most as many as the second one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One event, or neighbouring equal refusals of one agent. Refusals that are counted by the minute stay alone.

    With `goes_on`, the next page has older refusals of the run.
    """

    newest: Recorded
    oldest: Recorded
    count: int = 1
    goes_on: bool = False

    @property
    def shown(self) -> Recorded:
        """The newest event, with the number of all events."""
        return self.newest if self.count == 1 else replace(self.newest, count=self.count)

    @property
    def times(self) -> str:
        """The number of the events, as text."""
        return f"{'at least ' if self.goes_on else ''}{self.count:,} times"

    @property
    def period(self) -> str:
        """The times of the oldest and the newest event. The date of the oldest is shown if it is another one."""
        oldest, newest = utc(self.oldest.event.at), utc(self.newest.event.at)
        if oldest == newest:
            return newest[_TIME]
        return f"{oldest[_TIME] if oldest[:10] == newest[:10] else oldest[:19]} to {newest[_TIME]}"

    @property
    def link(self) -> str:
        """The path of the list of the events."""
        event, times = self.newest.event, sorted((self.oldest.event.at, self.newest.event.at))
        wanted = {
            "what": "refused",
            "client": event.client.id if event.client else "",
            "reason": event.reason,
            "since": times[0].isoformat(),
            "until": (times[1] + timedelta(microseconds=1)).isoformat(),
            "each": "1",
        }
        return f"/console/activity?{urlencode({name: value for name, value in wanted.items() if value})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    """The rows of one page. `next` is the cursor of the next page, or None at the end of the audit log.

    `is_full` says that the page has as many events as it can. Otherwise, a search may have found few in a bounded time.
    """

    runs: tuple[Run, ...] = ()
    next: int | None = None
    is_full: bool = False


def read_rows(load: Load, *, before: int | None, rows: int = ROWS, apart: bool = False) -> ActivityPage:
    """Return the newest rows with event numbers below `before`. Each event is in exactly one row of one page.

    With `apart`, each event is a row. Otherwise, more events are read while runs leave room for rows, or the last run
    may go on. A run that is longer than `MOST_READ` goes on in a row of the next page.
    """
    found = load(before, ROWS)
    runs, read = extended([], found.items, apart=apart), len(found.items)
    is_cut = len(found.items) < ROWS  # a search that found little: the next page goes on
    while found.next is not None and not is_cut and read < MOST_READ and _has_room(runs, rows):
        found = load(found.next, _MORE)
        runs, read = extended(runs, found.items, apart=apart), read + len(found.items)
        is_cut = len(found.items) < _MORE
    if len(runs) > rows:
        return ActivityPage(runs=tuple(runs[:rows]), next=runs[rows - 1].oldest.id, is_full=True)
    if found.next is not None and runs and runs[-1].count > 1:
        older = load(found.next, 1).items
        runs[-1] = replace(runs[-1], goes_on=bool(older) and is_equal(runs[-1].oldest, older[0]))
    return ActivityPage(runs=tuple(runs), next=found.next, is_full=read >= ROWS)


def extended(runs: list[Run], older: Iterable[Recorded], *, apart: bool = False) -> list[Run]:
    """Return the runs with older events. A run keeps only two of its events, so that pages need little memory."""
    runs = [*runs]
    for recorded in older:
        if runs and not apart and is_equal(runs[-1].oldest, recorded):
            runs[-1] = replace(runs[-1], oldest=recorded, count=runs[-1].count + 1)
        else:
            runs.append(Run(newest=recorded, oldest=recorded))
    return runs


def with_newer(run: Run | None, recorded: Recorded, *, apart: bool = False) -> Run:
    """Return the run with a newer event, or a run of this event alone."""
    if run is None or apart or not is_equal(run.newest, recorded):
        return Run(newest=recorded, oldest=recorded)
    return replace(run, newest=recorded, count=run.count + 1)


def is_equal(one: Recorded, other: Recorded) -> bool:
    """Whether both are refusals of the same request: agent, reason, actions, APIs, proof and network are the same."""
    is_alone = one.counted or other.counted or one.event.kind is not EventKind.TOKEN_REFUSED
    return not is_alone and _compared(one.event) == _compared(other.event)


def _compared(event: Event) -> Event:
    return replace(event, at=_START, request_id="", authority_version=0, address=limit_key(event.address))


def _has_room(runs: list[Run], rows: int) -> bool:
    return len(runs) < rows or (len(runs) == rows and runs[-1].count > 1)
