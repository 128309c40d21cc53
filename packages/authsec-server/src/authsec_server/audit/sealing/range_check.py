"""Check that no number range of an hour is wider than the events of the hour.

A filter by time reads the events in the ranges of its hours. If raw SQL widens the range of an hour, a list has to read
events of other hours. No list was seen to lose an event. But docs/audit-verify.md promises that the change is found.

A drop leaves the ranges of the hours before its cut, so these may include the numbers of its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.drops import Drop
from authsec_server.audit.sealing.scratch import Scratch

MOST: Final = 5  # findings that are listed; further ones are only counted
_HOUR: Final = len("2026-11-25T12")
_WIDE: Final = (
    f"SELECT r.hour, r.lowest, r.highest FROM range r LEFT JOIN (SELECT substr(e.at, 1, {_HOUR}) AS hour,"  # noqa: S608 - constants
    " min(e.number) AS lowest, max(e.number) AS highest FROM event e"
    " WHERE EXISTS (SELECT 1 FROM leaf l WHERE l.number = e.number) GROUP BY 1) s"
    f" ON s.hour = substr(r.hour, 1, {_HOUR})"
    " WHERE EXISTS (SELECT 1 FROM leaf)"
    f" AND (r.lowest < min(coalesce(s.lowest, {MAX_NUMBER}), iif(r.hour < :cut, :first, {MAX_NUMBER}))"
    " OR r.highest > max(coalesce(s.highest, 0), iif(r.hour < :cut, :last, 0))) ORDER BY r.hour"
)


def findings(scratch: Scratch, drops: Sequence[Drop]) -> Iterator[str]:
    """Report each range that is too wide in a sentence. `drops` are the drops with missing events."""
    records = [each.record for each in drops]
    bounds = {
        "cut": max((each.cut.isoformat(timespec="microseconds") for each in records), default=""),
        "first": min((each.numbers[0] for each in records), default=MAX_NUMBER),
        "last": max((each.numbers[1] for each in records), default=0),
    }
    for hour, lowest, highest in scratch.query(f"{_WIDE} LIMIT {MOST}", bounds):
        yield (
            f"The table `number_ranges` has the range {lowest} to {highest} for the hour {hour[:_HOUR]}, but the "
            "events of that hour have fewer numbers."
        )
    more = scratch.query(f"SELECT count(*) FROM ({_WIDE})", bounds)[0][0] - MOST  # noqa: S608 - of constants
    if more > 0:
        yield f"{more:,} more ranges in the table `number_ranges` are too wide."
