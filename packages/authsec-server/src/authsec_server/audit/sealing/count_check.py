"""Check whether the stored counts match the events. The counts of dropped months must match signed digests.

Dashboards, last uses and used actions come from tables that no seal covers.
The attack: raw SQL changes a count in such a table, and every event still matches its seal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

from authsec_server.audit.count_rows import LAST, MARK, TABLES, CountTable, Mark, Value, mark_of, missing_columns
from authsec_server.audit.counting import Outcome
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.model import EventKind
from authsec_server.audit.recount import CountDifference, Recount
from authsec_server.audit.sealing.checkpoints import CLOCK_TOLERANCE
from authsec_server.audit.sealing.dropped import DropRecord
from authsec_server.audit.sealing.scan import Scan

MOST: Final = 10  # findings of one table that are listed; further ones are only counted
_PLAIN: Final = re.compile(r"[\w.:/@ -]{0,80}", re.ASCII)
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)  # `counted.until` of a new database


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Return the outcome of the token request that the event records, for the counts."""
    return Outcome(
        at=datetime.fromisoformat(row["at"]),
        kind=EventKind(row["kind"]),
        reason=row["reason"],
        client_id=row["client_id"],
        under=tuple(each["id"] for each in [*row["delegations"], *row["roles"]]),
        proof_id=row["detail"].get("proof_id"),
        actions=tuple(row["detail"].get("actions") or ()),
        occurrences=row["occurrences"],
    )


class CountCheck:
    """A comparison of the stored counts with the events, on one snapshot.

    Call `add_number` for the number of each event, and `add` for each event with a decision.
    The order of these calls does not matter. Then call `findings`.
    """

    def __init__(self, scan: Scan, *, now: datetime | None = None) -> None:
        """Read the progress mark of the roll-up. Without `now`, a mark in the future is not reported."""
        self._scan = scan
        self._missing = missing_columns(scan.columns)
        self._mark = Mark(until=None) if self._missing else mark_of(scan.counts(MARK))
        self._now = now
        self._highest = 0
        self._recount = Recount(self._mark.through, self._mark.until or BEGINNING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recount.__exit__()

    def add_number(self, number: int) -> None:
        """Note that an event with this number exists."""
        if self._highest < number <= MAX_NUMBER:
            self._highest = number

    def add(self, number: int, outcome: Outcome) -> None:
        """Add the outcome of the event with this number."""
        self._recount.add(number, outcome)

    def findings(self, dropped: DropRecord | None = None, unknown_before: datetime | None = None) -> list[str]:
        """Return the findings as sentences.

        `dropped` is the sealed drop record with the latest cut (the time before which events were dropped).
        Events before `unknown_before` were not all added.
        So the counts before that time are compared only with the digests in the drop record.
        """
        if self._missing:
            return [f"The counts cannot be read: the database lacks {', '.join(self._missing)}."]
        found = list(self._of_the_mark(dropped))
        if self._mark.until is None:
            return found
        self._recount.compare(self._scan.counts, unknown_before, digest_before=dropped.cut if dropped else None)
        if dropped is not None:
            found += self._of_dropped_months(dropped)
        for table in TABLES:
            found += self._of_table(table)
        return found

    def _of_the_mark(self, dropped: DropRecord | None) -> Iterator[str]:
        """Report a mark that makes readers count other events than the roll-up has counted.

        The attack: raw SQL sets the mark back below a drop. Readers then add an event that a server behind dated into
        the dropped months, although the drop closed the counts of these months.
        """
        if self._mark.problem:
            yield self._mark.problem
        elif self._mark.until and self._now and self._mark.until > self._now + CLOCK_TOLERANCE:
            yield f"The value counted.until is in the future: {_minute(self._mark.until)}. New events are not counted."
        elif self._mark.through > self._highest:
            above = f"The value counted.through is {self._mark.through}, above the last event ({self._highest})."
            yield f"{above} New events are not counted."
        if self._mark.until and dropped and self._mark.until < dropped.cut:
            yield (
                f"The value counted.until is {_minute(self._mark.until)}, before the end of the dropped months "
                f"({_minute(dropped.cut)}). Events that are in no count are added to the counts of these months."
            )

    def _of_dropped_months(self, dropped: DropRecord) -> Iterator[str]:
        for name, digest in self._recount.digests.items():
            if dropped.counts[name] != digest:
                yield (
                    f"{name} was changed in the months before {dropped.before}, although the events of these "
                    "months were dropped."
                )

    def _of_table(self, table: CountTable) -> Iterator[str]:
        number = self._recount.more_odd[table.name]
        sentences = [
            f"{table.name} has a row that no server writes: {row.odd}." for row in self._recount.odd[table.name]
        ]
        number += len(sentences[MOST:])
        yield from sentences[:MOST]
        for at, difference in enumerate(self._recount.differences(table)):
            if at < MOST:
                yield sentence(difference)
            else:
                number += 1
        if number:
            yield f"{table.name} differs in {number:,} more rows."


def sentence(difference: CountDifference) -> str:
    """Describe the difference in a sentence that is safe for a terminal and a server log."""
    table = difference.table
    key = ", ".join(f"{name} {_shown(value)}" for name, value in zip(table.key, difference.key, strict=True) if value)
    if difference.rows > 1:
        return f"{table.name} has {difference.rows} rows for {key}; it must have one."
    kept, say = (_values(table, values) for values in (difference.kept, difference.say))
    return f"{table.name} says {kept} for {key}; the events say {say}."


def _values(table: CountTable, values: tuple[Value, ...] | None) -> str:
    if values is None:
        return "nothing"
    if table is not LAST:
        return f"{values[0]:,}"
    told = (f"{name} {_shown(value)}" for name, value in zip(table.values, values, strict=True) if value is not None)
    return " and ".join(told) or "an empty row"


def _shown(value: Value) -> str:
    shown = str(value)
    return shown if _PLAIN.fullmatch(shown) else json.dumps(shown[:80])


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
