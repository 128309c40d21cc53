"""The measures: their references, and the values that are wanted.

All rounds are taken in turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from benchmarks.tokens.authorities import Site
from benchmarks.tokens.load import Order, Request, Round, Target, run_round

CHANGES_A_SECOND: Final = 5
MOST_A_SECOND: Final = 5000  # tokens; so many assertions are made for a round


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Requests to one server. `requests` is called before each round with the number of requests it needs at most.

    To warm up, the requests are sent in their order, for at least `warm_seconds`.
    """

    name: str
    target: Target
    requests: Callable[[int], Sequence[Request]]
    connections: int = 64
    order: Order = "next"
    warm_seconds: int = 0
    changing: Site | None = None  # whose authority is changed meanwhile


@dataclass(slots=True)
class Results:
    """The rounds of each source by its name, and how long changes of authority took meanwhile, in milliseconds."""

    rounds: dict[str, list[Round]] = field(default_factory=dict)
    changes: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A measured value: the median, and the lowest and highest of the rounds."""

    name: str
    unit: str
    reference: str
    median: float
    low: float
    high: float
    must: float | None = None  # the value that is wanted at least
    aim: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def is_met(self) -> bool | None:
        """Whether the value that is wanted was reached. None if none is wanted."""
        if self.must is None:
            return None
        return self.median <= self.must if self.better == "lower" else self.median >= self.must


def measure(
    sources: Sequence[Source], *, rounds: int, seconds: int, progress: Callable[[str], None], warms_up: bool = True
) -> Results:
    """Measure each source once a round. To warm up, one more round comes first, which does not count."""
    results = Results({each.name: [] for each in sources})
    for number in range(0 if warms_up else 1, rounds + 1):
        for source in sources:
            progress(source.name)
            requests = source.requests(MOST_A_SECOND * seconds)
            with _changes(source.changing) as taken:
                one = run_round(
                    source.target,
                    requests,
                    connections=source.connections,
                    seconds=seconds if number else max(seconds, source.warm_seconds),
                    order=source.order if number else "next",
                )
            if number:
                results.rounds[source.name].append(one)
                results.changes += taken
    return results


@contextmanager
def _changes(site: Site | None) -> Iterator[list[float]]:
    """Disable and enable a delegation of an agent that asks for no tokens. Yields the milliseconds of each change."""
    taken: list[float] = []
    if site is None:
        yield taken
        return
    client = site.post("clients", name="Changed", platform="unattested", slug=f"changed-{time.time_ns()}")["client_id"]
    delegation, ended = site.delegate(client), threading.Event()

    def change() -> None:
        verb = "disable"
        while not ended.wait(1 / CHANGES_A_SECOND):
            began = time.perf_counter()
            site.post(f"delegations/{delegation}/{verb}")
            taken.append((time.perf_counter() - began) * 1000)
            verb = "enable" if verb == "disable" else "disable"

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()


def cost(results: Results, source: str, must: float | None = None, aim: float | None = None) -> Value:
    """The processor time of a token in signatures."""
    ratios = [each.ratio for each in results.rounds[source]]
    return Value(
        name=f"a token: {source}",
        unit="signatures",
        reference="an RSA-2048 signature",
        median=median(ratios),
        low=min(ratios),
        high=max(ratios),
        must=must,
        aim=aim,
    )


def rate(
    results: Results, source: str, reference: str, name: str, must: float | None = None, aim: float | None = None
) -> Value:
    """Tokens a second of a source divided by those of another, round by round."""
    ratios = [
        ours.rate / theirs.rate for ours, theirs in zip(results.rounds[source], results.rounds[reference], strict=True)
    ]
    return Value(
        name=name,
        unit="times",
        reference=reference,
        median=median(ratios),
        low=min(ratios),
        high=max(ratios),
        must=must,
        aim=aim,
        better="higher",
    )


def latency(results: Results, source: str, reference: str | None, name: str, aim: float) -> Value:
    """The p99 of a source in milliseconds. Wanted is less than that of the reference, if there is one."""
    taken = [each.p99 for each in results.rounds[source]]
    return Value(
        name=name,
        unit="ms",
        reference=reference or "-",
        median=median(taken),
        low=min(taken),
        high=max(taken),
        must=None if reference is None else median(each.p99 for each in results.rounds[reference]),
        aim=aim,
    )


def changes(results: Results, must: float) -> Value:
    """The p99 of a change of authority under load, in milliseconds."""
    taken = results.changes
    return Value(
        name="a change meanwhile, p99",
        unit="ms",
        reference="-",
        median=sorted(taken)[len(taken) * 99 // 100],
        low=min(taken),
        high=max(taken),
        must=must,
    )


def memory(used: float, name: str, must: float) -> Value:
    """The memory of a server and its signing processes, in megabytes."""
    return Value(name=name, unit="MB", reference="-", median=used, low=used, high=used, must=must)
