"""The lowest and highest event number of each hour, so that a filter by time reads few events.

The sealer stores the ranges of the events that it seals. The few events without a seal are read directly.
`verify` reports a range that omits a sealed event, and a range that is wider than the sealed events of its hour.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, LargeBinary, cast, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from authsec_server.audit.counting import hour_of
from authsec_server.audit.store import checkpoints, events, number_ranges

Range = tuple[int, int]
_HIGHEST = 2**63 - 1
_HOUR = timedelta(hours=1)


def ranges_of(numbered: Iterable[tuple[datetime, int]]) -> dict[datetime, Range]:
    """Return the lowest and highest event number of each hour.

    `numbered` contains the time and the number of each event.
    """
    found: dict[datetime, Range] = {}
    hour = datetime.min.replace(tzinfo=UTC)
    for at, number in numbered:
        if not hour <= at or at - hour >= _HOUR:  # most events are of the same hour as the event before
            hour = hour_of(at)
        low, high = found.get(hour, (number, number))
        found[hour] = (min(low, number), max(high, number))
    return found


def add(connection: Connection, ranges: Mapping[datetime, Range]) -> None:
    """Widen the stored ranges so that they include these ranges."""
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
    """Return a number range that contains every event from `since` until before `until`; None without such an event."""
    hours, kept = number_ranges.c, select(func.min(number_ranges.c.lowest), func.max(number_ranges.c.highest))
    late = select(func.min(events.c.id), func.max(events.c.id)).where(events.c.id > _sealed_through(connection))
    if since is not None:
        kept, late = kept.where(hours.hour >= hour_of(since)), late.where(events.c.at >= since)
    if until is not None:
        kept, late = kept.where(hours.hour < until), late.where(events.c.at < until)
    found = [row for row in (connection.execute(each).one() for each in (kept, late)) if row[0] is not None]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _sealed_through(connection: Connection) -> int:
    """Return the number up to which every event is sealed, as the newest checkpoint says; 0 without a checkpoint.

    The signature of the checkpoint is not verified here.
    A forged checkpoint only hides events without a seal, and `verify` reports the forged checkpoint.
    """
    newest = select(cast(checkpoints.c.signed, LargeBinary)).order_by(
        checkpoints.c.size.desc(), checkpoints.c.at.desc()
    )
    signed = bytes(connection.execute(newest.limit(1)).scalar_one_or_none() or b"")
    try:
        through = int(json.loads(urlsafe_b64decode(signed.split(b".")[1] + b"=="))["through"])
        return max(0, min(through, _HIGHEST))
    except (IndexError, KeyError, TypeError, ValueError):
        return 0
