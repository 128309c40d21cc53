"""The memory in which one process counts. Another process may read the memory at any time.

The memory of a worker outlives the worker. The next worker with the same number continues the counters, so a counter
never falls while the server runs. Each value is an integer of 64 bits: a reader sees the value before a write or after
it, and needs no lock.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final

SIZE: Final = 1 << 20  # octets for each process; the system provides only the pages that are written
_TEXT: Final = SIZE // 2  # where the names of series begin, one JSON text a line
_CELL: Final = 8  # octets
_IS_USED, _BEAT, _NEXT, _TEXT_LENGTH = range(4)  # the first cells
_FIRST: Final = 8
_LAST: Final = _TEXT // _CELL
UNSET: Final = -(1 << 63)
"""The value of a gauge that this process has not set."""


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """The metric and the label values of a series, and its cells: `count` cells from `first`."""

    metric: str
    labels: tuple[str, ...]
    first: int
    count: int


class ProcessMemory:
    """The cells of one process, and the names of its series."""

    def __init__(self, octets: mmap.mmap | bytearray | None = None) -> None:
        self._octets = memoryview(bytearray(SIZE) if octets is None else octets)
        self.cells = self._octets.cast("q")
        self._growing = Lock()
        if not self.cells[_NEXT]:
            self.cells[_NEXT] = _FIRST

    def begin(self) -> None:
        """Note that a process uses this memory from now on."""
        self.cells[_BEAT] = 0
        self.cells[_IS_USED] = 1

    def end(self) -> None:
        """Note that the process has ended. Its counters stay, and its gauges do not."""
        self.cells[_IS_USED] = 0

    def beat(self, milliseconds: int) -> None:
        """Note that the process works at this time."""
        self.cells[_BEAT] = milliseconds

    @property
    def is_used(self) -> bool:
        """Whether a process uses this memory now."""
        return bool(self.cells[_IS_USED])

    @property
    def beat_at(self) -> int:
        """Return the time of the last `beat` of the process, in milliseconds; 0 without one."""
        return int(self.cells[_BEAT])

    def allocate(self, metric: str, labels: tuple[str, ...], count: int) -> int | None:
        """Add a series, and return its first cell. Return None if the memory is full."""
        with self._growing:
            first, length = self.cells[_NEXT], self.cells[_TEXT_LENGTH]
            line = json.dumps([metric, labels, first, count]).encode() + b"\n"
            if first + count > _LAST or _TEXT + length + len(line) > SIZE:
                return None
            self.cells[_NEXT] = first + count  # a worker that is killed here leaves cells without a name
            self._octets[_TEXT + length : _TEXT + length + len(line)] = line
            self.cells[_TEXT_LENGTH] = length + len(line)  # last: a reader stops there
            return int(first)

    def series(self) -> Iterator[SeriesPlace]:
        """Yield all series, in the order of their cells."""
        text = bytes(self._octets[_TEXT : _TEXT + self.cells[_TEXT_LENGTH]])
        for line in text.splitlines():
            metric, labels, first, count = json.loads(line)
            yield SeriesPlace(metric, tuple(labels), first, count)


class SharedMemory:
    """A file in memory with a `ProcessMemory` for each process of a server. Processes inherit its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls, processes: int) -> SharedMemory:
        """Make the file for so many processes. Raises `OSError`."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("authsec-metrics")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, processes * SIZE)
        return cls(descriptor)

    def process(self, number: int) -> ProcessMemory:
        """Map the memory of one process. Raises `OSError`."""
        return ProcessMemory(mmap.mmap(self.descriptor, SIZE, offset=number * SIZE))
