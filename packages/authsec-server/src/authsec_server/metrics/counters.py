"""Counts of this process. A series is added when it is first counted, up to the largest number of its metric.

Counting takes no lock. The interpreter switches threads only at calls and jumps, and `cells[place] += 1` has neither.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from authsec_server.metrics.memory import UNSET, ProcessMemory

OTHER: Final = "other"
"""The value of each label in the series that counts what exceeds the largest number of series."""


class MetricKind(Enum):
    """How a metric is counted in one process, and which number of several processes is shown."""

    COUNTER = "sum of all processes, also of those that have ended"
    HISTOGRAM = "as a counter, in buckets"
    SUM = "sum of the running processes"
    LOWEST = "lowest value of the running processes"
    HIGHEST = "highest value of the running processes"
    LOWEST_AGE = "lowest age; the value is a time in milliseconds, or 0 for no age"
    HIGHEST_AGE = "highest age; the value is a time in milliseconds, or 0 for no age"


COUNTING: Final = frozenset({MetricKind.COUNTER, MetricKind.HISTOGRAM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A metric: at most `most` series. A stored 1 is shown as `unit`.

    `bounds` are the upper bounds of a histogram's buckets, as stored.
    """

    name: str
    help: str
    kind: MetricKind
    labels: tuple[str, ...] = ()
    most: int = 1
    unit: float = 1
    bounds: tuple[int, ...] = ()

    @property
    def cells(self) -> int:
        """Return the number of cells of a series. A histogram has one for each bucket, one above all, and the sum."""
        return len(self.bounds) + 2 if self.kind is MetricKind.HISTOGRAM else 1


class CountSeries:
    """A series with one value."""

    __slots__ = ("cells", "place")

    def __init__(self) -> None:
        self.move(memoryview(bytearray(8)).cast("q"), 0)

    def move(self, cells: memoryview[int], place: int) -> None:
        """Count in this cell from now on."""
        self.cells, self.place = cells, place

    def add(self, number: int = 1) -> None:
        """Add the number."""
        self.cells[self.place] += number

    def set(self, value: int) -> None:
        """Replace the value."""
        self.cells[self.place] = value

    def unset(self) -> None:
        """Show no value of this process."""
        self.cells[self.place] = UNSET


class HistogramSeries:
    """A series of a histogram."""

    __slots__ = ("_sum", "bounds", "cells", "place")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.move(memoryview(bytearray(8 * (len(bounds) + 2))).cast("q"), 0)

    def move(self, cells: memoryview[int], place: int) -> None:
        """Count in these cells from now on."""
        self.cells, self.place, self._sum = cells, place, place + len(self.bounds) + 1

    def add(self, value: int) -> None:
        """Add one observed value."""
        cells = self.cells
        cells[self.place + bisect_left(self.bounds, value)] += 1
        cells[self._sum] += value


Series = TypeVar("Series", CountSeries, HistogramSeries)


class Metric(Generic[Series]):
    """A metric of this process. The first use of label values adds their series."""

    def __init__(self, definition: Definition, make: Callable[[], Series], metrics: ProcessMetrics) -> None:
        self.definition = definition
        self._make: Callable[[], Series] = make
        self._metrics = metrics
        self._series: dict[tuple[str, ...], Series] = {}

    def of(self, *labels: str) -> Series:
        """Return the series with these label values, in the order of the metric's labels.

        If the metric has its largest number of series already, return the series of all others.
        """
        return self._series.get(labels) or self._add(labels)

    def _add(self, labels: tuple[str, ...]) -> Series:
        with self._metrics.growing:
            if labels not in self._series and len(self._series) >= self.definition.most:
                labels = (OTHER,) * len(labels)
            if labels not in self._series:
                its = self.definition
                place = self._metrics.memory.allocate(its.name, labels, its.cells)
                self._series[labels] = self._at(place, self._make())
            return self._series[labels]

    def move(self) -> None:
        """Use the series in the memory of the process, and add those that only this object has."""
        memory, its, before = self._metrics.memory, self.definition, self._series
        places = {
            each.labels: each.first
            for each in memory.series()
            if (each.metric, len(each.labels), each.count) == (its.name, len(its.labels), its.cells)
        }
        for labels in before.keys() - places.keys():
            if (place := memory.allocate(its.name, labels, its.cells)) is not None:
                places[labels] = place
        self._series = {labels: self._at(place, before.get(labels) or self._make()) for labels, place in places.items()}

    def _at(self, place: int | None, series: Series) -> Series:
        """Let the series count at this place. Without a place, the memory is full, and nobody reads the series."""
        if place is not None:
            series.move(self._metrics.memory.cells, place)
            if self.definition.kind not in COUNTING:
                series.cells[place] = 0 if self.definition.kind is MetricKind.SUM else UNSET
        return series


class ProcessMetrics:
    """All metrics of this process. They use memory of their own until `attach`."""

    def __init__(self) -> None:
        self.memory = ProcessMemory()
        self.memory.begin()
        self.metrics: dict[str, Metric[Any]] = {}
        self.growing = Lock()

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Return the definitions of all metrics."""
        return tuple(metric.definition for metric in self.metrics.values())

    def attach(self, memory: ProcessMemory) -> None:
        """Count in this memory from now on. Counters continue, and gauges begin anew.

        Call this before the process counts: earlier counts are lost.
        """
        with self.growing:
            self.memory = memory
            memory.begin()
            for metric in self.metrics.values():
                metric.move()

    def counter(self, name: str, help: str, labels: tuple[str, ...] = (), *, most: int = 1) -> Metric[CountSeries]:  # noqa: A002 - Prometheus calls it so
        """Add a counter."""
        return self.gauge(name, help, MetricKind.COUNTER, labels, most=most)

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus calls it so
        kind: MetricKind,
        labels: tuple[str, ...] = (),
        *,
        most: int = 1,
        unit: float = 1,
    ) -> Metric[CountSeries]:
        """Add a gauge of this kind."""
        its = Definition(name=name, help=help, kind=kind, labels=labels, most=most, unit=unit)
        metric = self.metrics[name] = Metric(its, CountSeries, self)
        return metric

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus calls it so
        labels: tuple[str, ...] = (),
        *,
        bounds: tuple[int, ...],
        most: int = 1,
        unit: float = 1,
    ) -> Metric[HistogramSeries]:
        """Add a histogram with buckets up to these bounds."""
        its = Definition(
            name=name, help=help, kind=MetricKind.HISTOGRAM, labels=labels, most=most, unit=unit, bounds=bounds
        )
        metric = self.metrics[name] = Metric(its, partial(HistogramSeries, bounds), self)
        return metric
