"""The sums for which `reader_check` asks: counts by hour, client and reason, last tokens, and live tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from authsec_server.audit import counts, live_tokens
from authsec_server.audit.counting import day_of
from authsec_server.audit.live_tokens import TokenGroups
from authsec_server.audit.model import EventKind
from authsec_server.audit.rollup import progress_of
from authsec_server.audit.sealing.proved_events import ProvedEvents
from authsec_server.audit.sealing.reader_questions import MOST_VALUES, YEARS, shown
from authsec_server.db import Tx

_DAYS: Final = 60
_CLIENTS: Final = 60  # clients whose counts of one day are compared
_LIVE: Final = 20
_KEYS: Final = 5
_FEW: Final = 2
_LONG_TAIL: Final = 5000  # uncounted events; with more, only few sums are compared, because each sum reads them all
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SumQuestion:
    """A sum: its name in a finding, the function that asks for it, and the value that it must have."""

    name: str
    ask: Callable[[], Any]
    expected: Any


def sum_questions(tx: Tx, proved: ProvedEvents, known_from: datetime | None) -> Iterator[SumQuestion]:
    """Yield questions about sums, for times from `known_from` on. If `known_from` is None, no event was dropped."""
    many = proved.count_above(progress_of(tx.connection).through) <= _LONG_TAIL
    earliest = "" if known_from is None else known_from.isoformat()
    days = [day for day, _ in proved.values("substr(at, 1, 10)", _DAYS if many else _FEW) if day >= earliest[:10]]
    for day in days:
        yield from _of_day(tx, proved, datetime.fromisoformat(f"{day}T00:00:00+00:00"))
    sample = [event for event in proved.sample(_CLIENTS if many else _FEW) if event["client_id"]]
    for event in sample:
        if (at := datetime.fromisoformat(event["at"])).isoformat() >= earliest:
            yield from _of_day(tx, proved, day_of(at), event["client_id"])
    yield from _last_uses(tx, proved, earliest)
    for event in sample[:_LIVE]:
        if event["expires_at"] and (until := datetime.fromisoformat(event["expires_at"])).year in YEARS:
            yield _live(tx, proved, event["client_id"], until - _HOUR)
    for event in proved.sample_of_tokens(_KEYS):
        if (until := datetime.fromisoformat(event["expires_at"])).year in YEARS:
            yield _live_of_key(tx, proved, event["kid"], until - _HOUR)


def _of_day(tx: Tx, proved: ProvedEvents, day: datetime, client_id: str | None = None) -> Iterator[SumQuestion]:
    if day.year not in YEARS:
        return
    end = day + _DAY
    sums = proved.sums(day, end, client_id)
    issued, refused, reasons = Counter[str](), Counter[str](), Counter[str]()
    for (hour, kind, reason), number in sums.items():
        if kind == EventKind.TOKEN_ISSUED:
            issued[hour] += number
        elif kind == EventKind.TOKEN_REFUSED:
            refused[hour] += number
            reasons[reason] += number
    of = f"of {day:%Y-%m-%d}" + ("" if client_id is None else f" of the agent {shown(client_id)}")
    hours = [f"{day + each * _HOUR:%Y-%m-%dT%H}" for each in range(24)]
    yield SumQuestion(
        f"The chart {of}",
        partial(_series, tx, day, end, client_id),
        [(hour, issued[hour], refused[hour]) for hour in hours],
    )
    yield SumQuestion(
        f"The number of token requests {of}",
        partial(counts.totals, tx, day, end, client_id=client_id),
        counts.Totals(issued=issued.total(), refused=refused.total()),
    )
    yield SumQuestion(
        f"The reasons {of}", partial(counts.refusals_by_reason, tx, day, end, client_id=client_id), dict(reasons)
    )


def _series(tx: Tx, start: datetime, end: datetime, client_id: str | None) -> list[tuple[str, int, int]]:
    points = counts.series(tx, start, end, _HOUR, client_id=client_id)
    return [(f"{point.at:%Y-%m-%dT%H}", point.issued, point.refused) for point in points]


def _last_uses(tx: Tx, proved: ProvedEvents, earliest: str) -> Iterator[SumQuestion]:
    """Yield last uses at `earliest` (ISO 8601) or later. Events of earlier uses may have been dropped."""
    clients = {id_: proved.last_token(id_) for id_, _ in proved.values("client_id", MOST_VALUES)}
    delegations = {id_: proved.last_use(id_) for id_, _ in proved.delegations(MOST_VALUES)}
    for name, uses, ask in (
        ("agents", clients, partial(counts.last_tokens, tx)),
        ("delegations", delegations, partial(_granted, tx)),
    ):
        expected = {id_: at for id_, at in uses.items() if at is not None and at.isoformat() >= earliest}
        yield SumQuestion(f"The list of last uses of {name}", partial(ask, [*expected]), expected)


def _granted(tx: Tx, ids: list[str]) -> dict[str, datetime | None]:
    return {id_: use.granted_at for id_, use in counts.last_uses(tx, ids).items()}


def _live(tx: Tx, proved: ProvedEvents, client_id: str, now: datetime) -> SumQuestion:
    expected = min(proved.live_tokens(client_id, now), live_tokens.MOST + 1)
    name = f"The number of live tokens of the agent {shown(client_id)} at {now:%Y-%m-%d %H:%M:%S} UTC"
    return SumQuestion(name, lambda: _live_number(live_tokens.of_clients(tx, now, [client_id]), expected), expected)


def _live_of_key(tx: Tx, proved: ProvedEvents, kid: str, now: datetime) -> SumQuestion:
    expected = min(proved.live_tokens_of_key(kid, now - live_tokens.LONGEST, now), live_tokens.MOST + 1)
    name = f"The number of live tokens of the key {shown(kid)} at {now:%Y-%m-%d %H:%M:%S} UTC"
    return SumQuestion(name, lambda: _live_number(live_tokens.of_key(tx, now, kid), expected), expected)


def _live_number(found: TokenGroups, expected: int) -> int:
    """Return the number of these tokens.

    Raw SQL can insert tokens that are too long to be read together. Then a reader gets fewer tokens and says that there
    are more, which is right.
    """
    number = sum(group.count for group in found.tokens)
    return expected if found.more and number <= min(live_tokens.MOST, expected) else number
