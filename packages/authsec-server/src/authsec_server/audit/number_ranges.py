"""The lowest and highest number of each hour's events, so that a filter by time looks at few events.

The sealer keeps them for the events that it seals; the few later ones are looked up directly. A range that is too wide
costs time only; `verify` finds a range that leaves out a sealed event.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, LargeBinary, cast, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.counting import hour_of
from authsec_server.audit.store import events, number_ranges, seal_heads

Range = tuple[int, int]
_HIGHEST = 2**63 - 1


def ranges_of(numbered: Iterable[tuple[datetime, int]]) -> dict[datetime, Range]:
    """The range of each hour; each event as its time and number."""
    found: dict[datetime, Range] = {}
    for at, number in numbered:
        hour = hour_of(at)
        low, high = found.get(hour, (number, number))
        found[hour] = (min(low, number), max(high, number))
    return found


def add(connection: Connection, ranges: Mapping[datetime, Range]) -> None:
    """Widen the kept ranges by these."""
    if not ranges:
        return
    postgresql = connection.dialect.name == "postgresql"
    statement = (postgresql_insert if postgresql else sqlite_insert)(number_ranges)
    least, greatest = (func.least, func.greatest) if postgresql else (func.min, func.max)
    wider = {
        "lowest": least(number_ranges.c.lowest, statement.excluded.lowest),
        "highest": greatest(number_ranges.c.highest, statement.excluded.highest),
    }
    rows = [{"hour": hour, "lowest": low, "highest": high} for hour, (low, high) in sorted(ranges.items())]
    connection.execute(statement.on_conflict_do_update(index_elements=["hour"], set_=wider), rows)


def between(connection: Connection, since: datetime | None, until: datetime | None) -> Range | None:
    """A range with the number of every event from `since` and before `until`; None where there is no such event."""
    hours, kept = number_ranges.c, select(func.min(number_ranges.c.lowest), func.max(number_ranges.c.highest))
    late = select(func.min(events.c.id), func.max(events.c.id)).where(events.c.id > _sealed_through(connection))
    if since is not None:
        kept, late = kept.where(hours.hour >= hour_of(since)), late.where(events.c.at >= since)
    if until is not None:
        kept, late = kept.where(hours.hour < until), late.where(events.c.at < until)
    found = [row for row in (connection.execute(each).one() for each in (kept, late)) if row[0] is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _sealed_through(connection: Connection) -> int:
    """Up to which number every event is sealed, as the newest head says; 0 where none says so.

    Its signature is not asked for: a forged head hides events that have no seal yet, and `verify` finds the head.
    """
    newest = select(cast(seal_heads.c.signed, LargeBinary)).order_by(seal_heads.c.size.desc(), seal_heads.c.at.desc())
    signed = bytes(connection.execute(newest.limit(1)).scalar_one_or_none() or b"")
    try:
        through = int(json.loads(urlsafe_b64decode(signed.split(b".")[1] + b"=="))["through"])
        return max(0, min(through, _HIGHEST))
    except (IndexError, KeyError, TypeError, ValueError):
        return 0
