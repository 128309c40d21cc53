"""The metrics of a server, from the memory of its processes. Reads no database, and waits for no process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from authsec_server.metrics import catalogue
from authsec_server.metrics.counters import COUNTING, Definition, MetricKind
from authsec_server.metrics.memory import UNSET, ProcessMemory

SILENT_AFTER: Final = 10_000  # milliseconds without a sign of life; a process gives one each second
STOPPED, SILENT, STARTING = "stopped", "silent", "starting"  # statuses that a process cannot write by itself
_Values = dict[tuple[str, ...], list[list[int]]]  # by label values: the cells of each process

_SHOWN: dict[MetricKind, Callable[[Iterable[float]], float]] = {
    MetricKind.SUM: sum,
    MetricKind.LOWEST: min,
    MetricKind.HIGHEST: max,
    MetricKind.LOWEST_AGE: min,
    MetricKind.HIGHEST_AGE: max,
}
_AGES: Final = frozenset({MetricKind.LOWEST_AGE, MetricKind.HIGHEST_AGE})


class ServerCollector:
    """A collector for a registry of `prometheus_client`.

    `workers` are the memories of the processes that serve. `others` only count, such as the supervisor. `now` returns
    the time in milliseconds.
    """

    def __init__(
        self,
        workers: Sequence[ProcessMemory],
        others: Sequence[ProcessMemory] = (),
        *,
        now: Callable[[], int],
        definitions: Sequence[Definition] = catalogue.PROCESS.definitions,
    ) -> None:
        self._workers = workers
        self._others = others
        self._now = now
        self._definitions = definitions
        self._began = now()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value."""
        now = self._now()
        values = self._values(now)
        for its in self._definitions:
            if its.kind is MetricKind.HISTOGRAM:
                yield _histogram(its, values[its.name])
            elif its.kind is MetricKind.COUNTER:
                yield _counter(its, values[its.name])
            else:
                yield _gauge(its, values[its.name], now)
        start = GaugeMetricFamily("process_start_time_seconds", "Time when this server started, in Unix seconds.")
        start.add_metric((), self._began / 1000)
        yield start

    def _values(self, now: int) -> dict[str, _Values]:
        definitions = {its.name: its for its in self._definitions}
        values: dict[str, _Values] = defaultdict(lambda: defaultdict(list))
        for memory in (*self._workers, *self._others):
            serves = memory in self._workers
            problem = self._problem(memory, now) if serves else None
            for place in memory.series():
                its = definitions.get(place.metric)
                if its is None or (its.cells, len(its.labels)) != (place.count, len(place.labels)):
                    continue  # after an upgrade of a running server: another version wrote the series
                if its.kind not in COUNTING and (not memory.is_used or (problem and its in _OF_READINESS)):
                    continue
                cells = memory.cells[place.first : place.first + place.count].tolist()
                if cells[0] != UNSET:
                    values[its.name][place.labels].append(cells)
            if problem:
                values[catalogue.WORKERS.definition.name][problem,].append([1])
                values[catalogue.READY.definition.name][()].append([0])
        return values

    @staticmethod
    def _problem(memory: ProcessMemory, now: int) -> str | None:
        """Return the status of a process that does not tell its status itself."""
        if not memory.is_used:
            return STOPPED
        if not memory.beat_at:
            return STARTING
        return SILENT if now - memory.beat_at > SILENT_AFTER else None


_OF_READINESS: Final = (catalogue.READY.definition, catalogue.WORKERS.definition)


def _counter(its: Definition, values: _Values) -> Metric:
    family = CounterMetricFamily(its.name, its.help, labels=its.labels)
    if not its.labels:
        values.setdefault((), [])  # a counter without labels begins at 0
    for labels, cells in sorted(values.items()):
        family.add_metric(labels, sum(each[0] for each in cells) * its.unit)
    return family


def _gauge(its: Definition, values: _Values, now: int) -> Metric:
    family = GaugeMetricFamily(its.name, its.help, labels=its.labels)
    for labels, cells in sorted(values.items()):
        shown = (_age(each[0], now) if its.kind in _AGES else each[0] * its.unit for each in cells)
        family.add_metric(labels, _SHOWN[its.kind](shown))
    return family


def _age(time: int, now: int) -> float:
    return max(0, now - time) / 1000 if time else 0.0


def _histogram(its: Definition, values: _Values) -> Metric:
    family = HistogramMetricFamily(its.name, its.help, labels=its.labels)
    for labels, cells in sorted(values.items()):
        *counts, total = (sum(of_all) for of_all in zip(*cells, strict=True))
        buckets, below = [], 0
        for bound, count in zip((*(_text(its, each) for each in its.bounds), "+Inf"), counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        family.add_metric(labels, buckets, total * its.unit)
    return family


def _text(its: Definition, bound: int) -> str:
    return f"{bound * its.unit:.6g}"
