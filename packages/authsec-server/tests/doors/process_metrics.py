"""The metrics of this process, as `/metrics` would show them."""

from __future__ import annotations

import time

from authsec_server.metrics.catalogue import PROCESS
from authsec_server.metrics.collector import ServerCollector


def shown() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The value of each series."""
    collector = ServerCollector([PROCESS.memory], now=lambda: time.time_ns() // 1_000_000)
    samples = [sample for family in collector.collect() for sample in family.samples]
    return {(each.name, frozenset(each.labels.items())): each.value for each in samples}


def metric(name: str, **labels: str) -> float:
    """The value of one series; 0 if nothing was counted."""
    return shown().get((name, frozenset(labels.items())), 0.0)
