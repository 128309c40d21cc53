"""A sealed export with events that were dropped later. The export is read once, from the first place to the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from authsec_server.audit.merkle_tree import text_hash
from authsec_server.audit.sealing.dropped import NEVER_DROPPED
from authsec_server.audit.sealing.lines import NotAnExport, exact, read_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedEvent:
    """An event of an export: its place in the sealed log, its leaf hash, and its content."""

    place: int
    leaf: bytes
    event: Mapping[str, Any]

    @property
    def number(self) -> object:
        """Return the event's number."""
        return self.event.get("id")

    @property
    def at(self) -> str:
        """Return the event's time (ISO 8601)."""
        return str(self.event.get("at"))

    @property
    def is_droppable(self) -> bool:
        """Whether a drop may remove an event of this kind."""
        return str(self.event.get("kind")) not in NEVER_DROPPED


class KeptExport:
    """The events of one sealed export. Ask for places in ascending order.

    Raises `NotAnExport` if the first line is not a line of an export. `last_checkpoint` reads `lines` again.
    """

    def __init__(self, name: str, lines: Iterable[str]) -> None:
        self.name = name
        self._lines = lines
        rest = iter(lines)
        first = next(rest, "")
        if read_line(first) is None:
            raise NotAnExport
        self._rows = _rows(chain([first], rest))
        self._next = next(self._rows, None)

    def event_at(self, place: int) -> ExportedEvent | None:
        """Return the event that the export has at this place of the sealed log; None if the export has none."""
        while self._next is not None and self._next.place < place:
            self._next = next(self._rows, None)
        return self._next if self._next is not None and self._next.place == place else None

    @cached_property
    def last_checkpoint(self) -> str:
        """Return the signed checkpoint in the last line of the export; empty if that line has none.

        The signature is not verified.
        """
        last = deque(self._lines, maxlen=1)
        checkpoint: str = (read_line(last[0]) or {}).get("checkpoint", "") if last else ""
        return checkpoint


def _rows(lines: Iterable[str]) -> Iterator[ExportedEvent]:
    """Yield the events in these lines. Lines that do not have the form of an export are skipped."""
    for line in lines:
        read = read_line(line)
        if read is not None and (event := read.get("event")) is not None:
            yield ExportedEvent(place=read["place"], leaf=text_hash(exact(event)), event=event)
