"""The active filters of the audit log page. Each has a link that removes only that filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from authsec_server.audit.model import Named, Recorded
from authsec_server.console.activity.query import CUSTOM, GROUPS, RANGES, ActivityQuery
from authsec_server.console.formatting import utc
from authsec_server.console.site import PageRequest

LABELS: Mapping[str, str] = {
    "what": "Kind",
    "client": "Client",
    "by": "Administrator",
    "delegation": "Trust delegation",
    "reason": "Reason",
    "address": "Address",
    "request_id": "Request id",
    "jti": "jti",
}
_TIME = ("range", "since", "until")
_SECONDS = len("2026-11-25 12:00:00")


def chips(visit: PageRequest, asked: ActivityQuery, found: Sequence[Recorded]) -> list[tuple[str, str, str]]:
    """Return the label, the value and the path without the filter, for each active filter.

    The first event that was found has the names of the filtered client, administrator and delegation.
    """
    return [
        (label, value, visit.here(cursor=None, **dict.fromkeys(fields)))
        for label, value, *fields in _active(asked, found[0] if found else None)
    ]


def _active(asked: ActivityQuery, newest: Recorded | None) -> Iterator[tuple[str, ...]]:
    typed = asked.typed
    for field, label in LABELS.items():
        if typed[field]:
            yield label, _value(field, typed[field], newest), field
    if asked.range in RANGES:
        yield "Time", f"last {RANGES[asked.range][0].lower()}", *_TIME
    elif asked.range == CUSTOM and (typed["since"] or typed["until"]):
        since, until = (
            f"{word} {_instant(typed[end])}" if typed[end] else "" for word, end in (("from", "since"), ("to", "until"))
        )
        yield "Time", f"{since} {until}".strip(), *_TIME


def _instant(typed: str) -> str:
    """Format an exact instant, such as that of a link, in UTC and without fractions of a second."""
    try:
        instant = datetime.fromisoformat(typed)
    except ValueError:
        return typed
    return utc(instant)[:_SECONDS] if instant.tzinfo else typed


def _value(field: str, typed: str, newest: Recorded | None) -> str:
    if field == "what":
        return GROUPS[typed][0] if typed in GROUPS else typed
    if newest is None:
        return typed
    event = newest.event
    named: Mapping[str, Named | None] = {
        "client": event.client,
        "by": Named(id=event.principal.id, name=event.principal.name) if event.principal else None,
        "delegation": next((each for each in event.delegations if each.id == typed), None),
    }
    found = named.get(field)
    return found.name if found and found.name else typed
