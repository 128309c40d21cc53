"""A sealed export that holds what was dropped since: gone through beside the log, place by place, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from authsec_server.audit.leaves import text_hash
from authsec_server.audit.sealing.lines import NotAnExport, exact, read_line


class Given:
    """The events of one export. Places are asked for in ascending order. Raises `NotAnExport`."""

    def __init__(self, name: str, lines: Iterable[str]) -> None:
        self.name = name
        rest = iter(lines)
        first = next(rest, "")
        if read_line(first) is None:
            raise NotAnExport
        self._rows = _rows(chain([first], rest))
        self._next = next(self._rows, None)

    def hash_at(self, place: int) -> bytes | None:
        """What the event that it has for that place hashes to; None where it has none."""
        while self._next is not None and self._next[0] < place:
            self._next = next(self._rows, None)
        return self._next[1] if self._next is not None and self._next[0] == place else None


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, bytes]]:
    """Place and hash of each event; lines that no export has are none."""
    for line in lines:
        read = read_line(line)
        if read is not None and read.get("event") is not None:
            yield read["place"], text_hash(exact(read["event"]))
