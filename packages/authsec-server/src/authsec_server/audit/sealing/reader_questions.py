"""The lists for which `reader_check` asks, chosen from the proved events. If there are many, the choice is random."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import SystemRandom
from typing import Any, Final

from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.sealing.proved_events import ProvedEvents
from authsec_server.principal import PrincipalKind

MOST_VALUES: Final = 500  # values of one dimension
_COMBINED: Final = 60  # lists with several filters, and lists that begin or end between two hours
YEARS: Final = range(1970, 9000)  # as in `query_parameters`
_PLAIN: Final = re.compile(r"[\w.,:/@-]{1,128}", re.ASCII)
_OPTIONS: Final = ("decision", "reason", "address", "request_id", "jti")
_RANDOM: Final = SystemRandom()
_BY_VALUE: Final[Mapping[str, Callable[[str], EventFilter]]] = {
    "client_id": lambda value: EventFilter(client_id=value),
    "kind": lambda value: EventFilter(kinds=frozenset({EventKind(value)})),
    "decision": lambda value: EventFilter(decision=Decision(value)),
    "reason": lambda value: EventFilter(reason=value),
    "subject_id": lambda value: EventFilter(subject_id=value),
    "address": lambda value: EventFilter(address=value),
}


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """A list of events: its filter, and the number of matching events, if it is known."""

    wanted: EventFilter
    number: int | None = None


def dimensions(proved: ProvedEvents) -> Iterator[list[ListQuestion]]:
    """Yield the lists of each dimension in random order. The dimension of clients has a list for each client."""
    for column, filtered in _BY_VALUE.items():
        yield [ListQuestion(filtered(value), number) for value, number in proved.values(column, MOST_VALUES)]
    yield [
        ListQuestion(EventFilter(client_id=id_, decision=Decision.DENIED), number)
        for id_, number in proved.values("client_id", MOST_VALUES, only="decision = 'denied'")
    ]
    yield [
        ListQuestion(EventFilter(kinds=frozenset(kind for kind in EventKind if kind.startswith(prefix))), number)
        for prefix, number in proved.values("substr(kind, 1, instr(kind, '.'))", MOST_VALUES)
    ]
    yield [ListQuestion(EventFilter(delegation_id=id_), number) for id_, number in proved.delegations(MOST_VALUES)]
    yield [
        ListQuestion(EventFilter(principal=(PrincipalKind(kind), id_)), number)
        for kind, id_, number in proved.principals(MOST_VALUES)
    ]
    yield list(_periods(proved))
    sample = proved.sample(_COMBINED)
    yield [ListQuestion(each) for event in sample for each in _beside(event)]
    yield [ListQuestion(_combined(proved, event)) for event in sample]


def list_command(wanted: EventFilter, *, newest_first: bool) -> str:
    """Return the command that asks for the list, for a finding."""
    options: dict[str, Any] = {
        "agent": wanted.client_id,
        "delegation": wanted.delegation_id,
        "by": " ".join(wanted.principal) if wanted.principal else "",
        "subject": wanted.subject_id,
        "kind": ",".join(sorted(wanted.kinds)),
        **{name.replace("_", "-"): getattr(wanted, name) for name in _OPTIONS},
        **{name: each.isoformat() for name in ("since", "until") if (each := getattr(wanted, name))},
    }
    named = [f"--{name} {shown(value)}" for name, value in options.items() if value]
    return " ".join(["audit list" if newest_first else "audit export", *named])


def shown(value: object) -> str:
    """Return the value for a finding: anything unusual as JSON, so that it is safe for a terminal."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text[:128])


def month_after(month: datetime) -> datetime:
    """Return the beginning of the next month."""
    return (month + timedelta(days=31)).replace(day=1)


def _periods(proved: ProvedEvents) -> Iterator[ListQuestion]:
    """Yield lists of single months and single hours. Each month has a partition."""
    for month, number in proved.values("substr(at, 1, 7)", MOST_VALUES):
        since = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
        if since.year in YEARS:
            yield ListQuestion(EventFilter(since=since, until=month_after(since)), number)
    for hour, number in proved.values("substr(at, 1, 13)", MOST_VALUES):
        since = datetime.fromisoformat(f"{hour}:00:00+00:00")
        if since.year in YEARS:
            yield ListQuestion(EventFilter(since=since, until=since + timedelta(hours=1)), number)


def _beside(event: dict[str, Any]) -> Iterator[EventFilter]:
    """Yield lists that begin and end exactly at the event, and a moment after it."""
    at = datetime.fromisoformat(event["at"]).astimezone(UTC)
    if at.year in YEARS:
        moment = _RANDOM.choice((at, at + timedelta(microseconds=1)))
        yield EventFilter(since=moment)
        yield EventFilter(until=moment)


def _combined(proved: ProvedEvents, event: dict[str, Any]) -> EventFilter:
    """Return a filter with several values of the event."""
    at = datetime.fromisoformat(event["at"]).astimezone(UTC)
    values: dict[str, Any] = {name: event[name] for name in ("client_id", "subject_id", "address", "reason")}
    values["kinds"] = frozenset({EventKind(event["kind"])})
    values["decision"] = event["decision"] and Decision(event["decision"])
    values["delegation_id"] = next(iter(proved.delegations_of(event["number"])), "")
    if event["principal_kind"] is not None:
        values["principal"] = (PrincipalKind(event["principal_kind"]), event["principal_id"])
    if at.year in YEARS:
        values["since"], values["until"] = at - timedelta(hours=_RANDOM.randrange(100)), at + timedelta(minutes=1)
    usable = [name for name, value in values.items() if value]
    return EventFilter(**{name: values[name] for name in _RANDOM.sample(usable, k=min(len(usable), 3))})
