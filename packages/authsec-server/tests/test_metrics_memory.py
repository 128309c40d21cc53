"""Counts of several processes: exact, bounded in their number, and continued by the next process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from authsec_server.metrics import catalogue
from authsec_server.metrics.collector import SILENT_AFTER, ServerCollector
from authsec_server.metrics.counters import OTHER, MetricKind, ProcessMetrics
from authsec_server.metrics.memory import SIZE, ProcessMemory, SharedMemory
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000_000  # milliseconds
Values = dict[tuple[str, tuple[str, ...]], float]


class Process:
    """A process with three metrics. The memory is its own, or that of an earlier process."""

    def __init__(self, memory: ProcessMemory | None = None) -> None:
        self.metrics = ProcessMetrics()
        self.asked = self.metrics.counter("asked_total", "Asked.", ("how",), most=3)
        self.open = self.metrics.gauge("open", "Open.", MetricKind.SUM)
        self.age = self.metrics.gauge("age_seconds", "Age.", MetricKind.HIGHEST_AGE)
        self.took = self.metrics.histogram("took_seconds", "Took.", bounds=(10, 20), unit=0.1)
        self.metrics.attach(memory or ProcessMemory())

    @property
    def memory(self) -> ProcessMemory:
        return self.metrics.memory


def shown(*processes: Process, now: int = NOW) -> Values:
    """What `/metrics` shows of these processes."""
    collector = ServerCollector(
        [each.memory for each in processes], now=lambda: now, definitions=processes[0].metrics.definitions
    )
    samples = [sample for family in collector.collect() for sample in family.samples]
    return {(each.name, tuple(each.labels.values())): each.value for each in samples}


def test_counters_and_gauges_are_sums_and_ages_the_highest() -> None:
    one, other = Process(), Process()
    for process, number in ((one, 2), (other, 3)):
        process.asked.of("well").add(number)
        process.open.of().set(number)
        process.age.of().set(NOW - number * 1000)
        for value in (10, 11, 21):
            process.took.of().add(value)
    values = shown(one, other)
    assert values["asked_total", ("well",)] == 5
    assert values["open", ()] == 5
    assert values["age_seconds", ()] == 3
    assert [values["took_seconds_bucket", (bound,)] for bound in ("1", "2", "+Inf")] == [2, 4, 6]
    assert values["took_seconds_count", ()] == 6
    assert values["took_seconds_sum", ()] == pytest.approx(8.4)


def test_the_next_process_continues_counters_and_begins_gauges_anew() -> None:
    first = Process()
    first.asked.of("well").add(2)
    first.took.of().add(15)
    first.open.of().set(7)
    first.age.of().set(NOW - 5000)
    before = shown(first)
    first.memory.end()
    ended = shown(first)
    assert ended["asked_total", ("well",)] == 2
    assert ("open", ()) not in ended
    second = Process(first.memory)
    assert shown(second)["open", ()] == 0
    assert ("age_seconds", ()) not in shown(second), "not yet known"
    second.asked.of("well").add()
    second.asked.of("badly").add()
    after = shown(second)
    assert after["asked_total", ("well",)] == 3
    assert after["asked_total", ("badly",)] == 1
    assert after["took_seconds_sum", ()] == before["took_seconds_sum", ()]


def test_the_series_of_another_version_are_left_alone() -> None:
    memory = ProcessMemory()
    memory.allocate("asked_total", ("a", "b"), 1)
    memory.allocate("took_seconds", (), 7)
    memory.allocate("forgotten_total", (), 1)
    process = Process(memory)
    process.took.of().add(15)
    process.asked.of("well").add()
    values = shown(process)
    assert values["took_seconds_count", ()] == 1
    assert {labels for name, labels in values if name == "asked_total"} == {("well",)}


class EndAfterOneWrite:
    """The cells of a process that is killed after its next write."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells
        self._is_killed = False

    def __getitem__(self, place: int) -> Any:
        return self._cells[place]

    def __setitem__(self, place: int, value: int) -> None:
        if self._is_killed:
            raise KeyboardInterrupt
        self._cells[place], self._is_killed = value, True


def test_a_process_that_is_killed_while_it_adds_a_series_moves_no_other_series() -> None:
    first = Process()
    first.asked.of("well").add(2)
    cells, first.memory.cells = first.memory.cells, EndAfterOneWrite(first.memory.cells)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        first.memory.allocate("took_seconds", ("of others",), 7)
    first.memory.cells = cells
    second = Process(first.memory)
    second.asked.of("badly").add(5)
    values = shown(second)
    assert (values["asked_total", ("well",)], values["asked_total", ("badly",)]) == (2, 5)


@given(st.lists(st.text(max_size=20), max_size=30))
def test_label_values_above_the_largest_number_are_counted_together(given: list[str]) -> None:
    process = Process()
    for each in given:
        process.asked.of(each).add()
    counted = {labels: value for (name, labels), value in shown(process).items() if name == "asked_total"}
    assert len(counted) <= 4
    assert sum(counted.values()) == len(given)
    kept = [*dict.fromkeys(given)][:3]
    assert all(counted[each,] >= given.count(each) for each in kept)
    assert {*counted} <= {(each,) for each in (*kept, OTHER)}


def test_a_full_memory_loses_counts_and_nothing_else() -> None:
    process = Process()
    while process.memory.allocate("x", (), 1000) is not None:
        pass
    while process.memory.allocate("x", (), 1) is not None:
        pass
    process.asked.of("well").add()
    assert ("asked_total", ("well",)) not in shown(process)


@pytest.fixture
def busy_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_switching")
def test_threads_lose_no_count() -> None:
    process, each = Process(), 20_000
    well, took = process.asked.of("well"), process.took.of()

    def count() -> None:
        for _ in range(each):
            well.add()
            took.add(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = shown(process)
    assert values["asked_total", ("well",)] == values["took_seconds_count", ()] == 4 * each
    assert values["took_seconds_sum", ()] == pytest.approx(4 * each * 0.1)


def test_processes_share_memory_by_a_descriptor() -> None:
    shared = SharedMemory.create(2)
    reader = shared.process(1)
    process = Process(SharedMemory(shared.descriptor).process(1))
    process.asked.of("well").add(4)
    assert [(each.metric, each.labels) for each in reader.series()] == [("asked_total", ("well",))]
    assert not shared.process(0).is_used
    assert SIZE % 65_536 == 0, "else some systems cannot map the second"


@pytest.mark.parametrize(
    ("is_used", "beat", "status"),
    [
        (True, NOW - 1000, "ready"),
        (True, NOW - SILENT_AFTER - 1, "silent"),
        (True, 0, "starting"),
        (False, NOW - 1000, "stopped"),
    ],
)
def test_a_server_is_ready_if_each_of_its_processes_says_so(is_used: bool, beat: int, status: str) -> None:
    def status_of(ready: int) -> ProcessMemory:
        memory = ProcessMemory()
        memory.begin()
        memory.beat(NOW)
        for its, labels in ((catalogue.READY, ()), (catalogue.WORKERS, ("ready",))):
            place = memory.allocate(its.definition.name, labels, 1)
            assert place is not None
            memory.cells[place] = ready
        return memory

    well, other = status_of(1), status_of(1)
    other.beat(beat)
    if not is_used:
        other.end()
    collector = ServerCollector([well, other], now=lambda: NOW)
    values = {
        (sample.name, *sample.labels.values()): sample.value for each in collector.collect() for sample in each.samples
    }
    assert values["authsec_ready",] == (status == "ready")
    assert values["authsec_workers", status] == (2 if status == "ready" else 1)
    assert sum(value for key, value in values.items() if key[0] == "authsec_workers") == 2
